/* Prints where CPython keeps what bt reads: lines of "field value". It is compiled
   against the headers of one version, whose internal ones are wanted. gen/main.go runs it. */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#if PY_VERSION_HEX < 0x03090000
#include <frameobject.h>
#include <internal/pycore_pystate.h>
#include <internal/pycore_gil.h>
#else
#include <frameobject.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#include <internal/pycore_gil.h>
#endif
#if PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_frame.h>
#include <internal/pycore_dict.h>
#endif

#define AT(field, type, member) printf(#field " %zu\n", offsetof(type, member))

int main(void) {
	/* _PyRuntimeState and PyInterpreterState */
	AT(RuntimeInterpreters, _PyRuntimeState, interpreters.head);
	AT(InterpNext, PyInterpreterState, next);
	AT(InterpID, PyInterpreterState, id);
#if PY_VERSION_HEX < 0x030B0000
	AT(InterpThreads, PyInterpreterState, tstate_head);
#else
	AT(InterpThreads, PyInterpreterState, threads.head);
#endif
#if PY_VERSION_HEX < 0x030C0000
	AT(InterpModules, PyInterpreterState, modules);
	AT(RuntimeGIL, _PyRuntimeState, ceval.gil);
#else
	AT(InterpModules, PyInterpreterState, imports.modules);
	AT(InterpGIL, PyInterpreterState, ceval.gil);
#endif
#if PY_VERSION_HEX < 0x03090000
	AT(RuntimeCollecting, _PyRuntimeState, gc.collecting);
#else
	AT(InterpCollecting, PyInterpreterState, gc.collecting);
#endif
	AT(GILHolder, struct _gil_runtime_state, last_holder);
	AT(GILLocked, struct _gil_runtime_state, locked);
	AT(GILCond, struct _gil_runtime_state, cond);

	/* PyThreadState */
	AT(ThreadNext, PyThreadState, next);
	AT(ThreadInterp, PyThreadState, interp);
	AT(ThreadID, PyThreadState, thread_id);
#if PY_VERSION_HEX >= 0x030B0000
	AT(ThreadNativeID, PyThreadState, native_thread_id);
#else
	AT(ThreadFrame, PyThreadState, frame);
#endif
#if PY_VERSION_HEX >= 0x030A0000
	AT(ThreadCFrame, PyThreadState, cframe);
	AT(ThreadRoot, PyThreadState, root_cframe);
#if PY_VERSION_HEX >= 0x030B0000
	AT(CFramePrevious, _PyCFrame, previous);
	AT(CFrameFrame, _PyCFrame, current_frame);
#else
	AT(CFramePrevious, CFrame, previous);
#endif
#endif

	/* frames */
#if PY_VERSION_HEX < 0x030B0000
	AT(FrameBack, PyFrameObject, f_back);
	AT(FrameCode, PyFrameObject, f_code);
	AT(FrameInstr, PyFrameObject, f_lasti);
#else
	AT(FrameBack, _PyInterpreterFrame, previous);
	AT(FrameCode, _PyInterpreterFrame, f_code);
	AT(FrameInstr, _PyInterpreterFrame, prev_instr);
	AT(FrameOwner, _PyInterpreterFrame, owner);
	AT(FrameSize, _PyInterpreterFrame, localsplus);
#if PY_VERSION_HEX < 0x030C0000
	AT(FrameEntry, _PyInterpreterFrame, is_entry);
#endif
#endif

	/* PyCodeObject */
	AT(CodeFile, PyCodeObject, co_filename);
	AT(CodeName, PyCodeObject, co_name);
	AT(CodeFirstLine, PyCodeObject, co_firstlineno);
#if PY_VERSION_HEX < 0x030A0000
	AT(CodeLines, PyCodeObject, co_lnotab);
#else
	AT(CodeLines, PyCodeObject, co_linetable);
#endif
#if PY_VERSION_HEX >= 0x030B0000
	AT(CodeQualName, PyCodeObject, co_qualname);
	AT(CodeBytes, PyCodeObject, co_code_adaptive);
#endif

	/* objects */
	AT(ObjectType, PyObject, ob_type);
	AT(TypeName, PyTypeObject, tp_name);
	AT(TypeBasicSize, PyTypeObject, tp_basicsize);
	AT(TypeFlags, PyTypeObject, tp_flags);
	AT(TypeDictOffset, PyTypeObject, tp_dictoffset);
	AT(BytesSize, PyBytesObject, ob_base.ob_size);
	AT(BytesData, PyBytesObject, ob_sval);
	printf("ObjectSize %zu\n", sizeof(PyObject));
	AT(StrLength, PyASCIIObject, length);
	AT(StrState, PyASCIIObject, state);
	printf("StrASCII %zu\n", sizeof(PyASCIIObject));
	printf("StrCompact %zu\n", sizeof(PyCompactUnicodeObject));
	AT(StrData, PyUnicodeObject, data);
#if PY_VERSION_HEX >= 0x030B0000
	AT(TypeCachedKeys, PyHeapTypeObject, ht_cached_keys);
#endif
	AT(DictKeys, PyDictObject, ma_keys);
	AT(DictValues, PyDictObject, ma_values);
#if PY_VERSION_HEX < 0x030C0000
	AT(LongSize, PyLongObject, ob_base.ob_size);
	AT(LongDigits, PyLongObject, ob_digit);
#else
	AT(LongSize, PyLongObject, long_value.lv_tag);
	AT(LongDigits, PyLongObject, long_value.ob_digit);
#endif
	return 0;
}
