// A program that blocks below calls of many kinds. What it says first is its own view of
// its stack, innermost call first, as one line of JSON: [[function, file, line, column]...].
'use strict';
const fs = require('fs');
const path = require('path');
const vm = require('vm');

Error.stackTraceLimit = 1000;
let inner = () => {};

function view() {
  const old = Error.prepareStackTrace;
  Error.prepareStackTrace = (_, sites) => sites;
  const sites = new Error().stack.slice(1);
  Error.prepareStackTrace = old;
  return sites.filter((s) => !s.isNative() && s.getLineNumber() !== null).map((s) =>
    [s.getFunctionName() || '', s.getScriptNameOrSourceURL() || s.getFileName() || '', s.getLineNumber(), s.getColumnNumber()]);
}

// block says the stack and stays. Both calls are in one line.
function block() {
  return [say(view()), wait()];
}
function say(sites) { fs.writeSync(1, JSON.stringify(sites) + '\n'); }
function wait() { return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }

class Base {
  #secret = 1;
  constructor(next) { this.next = next; this.made = next(this); }
  get prop() { return this.next(this); }
  static make(next) { return new this(next); }
  #private(next) { return next(this.#secret); }
  viaPrivate(next) { return this.#private(next); }
  static { this.fromBlock = (next) => next(); }
}
class Derived extends Base {
  constructor(next) { super((x) => next(x)); }
}
const object = {
  method(next) { return next(); },
  ['computed' + 1](next) { return next(); },
  arrow: (next) => next(),
  get getter() { return object.then(); },
  then: null,
};
function* generate(next) {
  yield 1;
  yield next();
}
function many(next) {
  // More variables in its context than their names are kept in the scope.
  let v0 = 0, v1 = 0, v2 = 0, v3 = 0, v4 = 0, v5 = 0, v6 = 0, v7 = 0, v8 = 0, v9 = 0;
  let w0 = 0, w1 = 0, w2 = 0, w3 = 0, w4 = 0, w5 = 0, w6 = 0, w7 = 0, w8 = 0, w9 = 0;
  let x0 = 0, x1 = 0, x2 = 0, x3 = 0, x4 = 0, x5 = 0, x6 = 0, x7 = 0, x8 = 0, x9 = 0;
  let y0 = 0, y1 = 0, y2 = 0, y3 = 0, y4 = 0, y5 = 0, y6 = 0, y7 = 0, y8 = 0, y9 = 0;
  let z0 = 0, z1 = 0, z2 = 0, z3 = 0, z4 = 0, z5 = 0, z6 = 0, z7 = 0, z8 = 0, z9 = 0;
  let a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0, a7 = 0, a8 = 0, a9 = 0;
  let b0 = 0, b1 = 0, b2 = 0, b3 = 0, b4 = 0, b5 = 0, b6 = 0, b7 = 0, b8 = 0, b9 = 0;
  let c0 = 0, c1 = 0, c2 = 0, c3 = 0, c4 = 0, c5 = 0, c6 = 0, c7 = 0, c8 = 0, c9 = 0;
  const all = () => [v0++, v1++, v2++, v3++, v4++, v5++, v6++, v7++, v8++, v9++, w0++, w1++, w2++, w3++, w4++, w5++, w6++, w7++, w8++, w9++,
    x0++, x1++, x2++, x3++, x4++, x5++, x6++, x7++, x8++, x9++, y0++, y1++, y2++, y3++, y4++, y5++, y6++, y7++, y8++, y9++,
    z0++, z1++, z2++, z3++, z4++, z5++, z6++, z7++, z8++, z9++, a0++, a1++, a2++, a3++, a4++, a5++, a6++, a7++, a8++, a9++,
    b0++, b1++, b2++, b3++, b4++, b5++, b6++, b7++, b8++, b9++, c0++, c1++, c2++, c3++, c4++, c5++, c6++, c7++, c8++, c9++, next];
  return all()[80]();
}

// The calls, outermost first. Each calls next, with builtins or C++ between the two.
const calls = [
  function map(next) { return [1].map(() => next()); },
  function sort(next) { return [2, 1].sort(() => next()); },
  function replace(next) { return 'abc'.replace(/b/g, () => next()); },
  function parse(next) { return JSON.parse('{"a": 1}', function revive() { return next(); }); },
  function stringify(next) { return JSON.stringify({ toJSON() { return next(); } }); },
  function construct(next) { return new Base(next); },
  function derive(next) { return new Derived(next); },
  function make(next) { return Derived.make(next); },
  function get(next) { return Object.create(Base.prototype, { next: { value: next } }).prop; },
  function hidden(next) { return new Base(() => {}).viaPrivate(next); },
  function staticBlock(next) { return Base.fromBlock(next); },
  function method(next) { return object.method(next); },
  function computed(next) { return object.computed1(next); },
  function arrow(next) { return object.arrow(next); },
  function getter(next) { object.then = next; return object.getter; },
  function bound(next) { return (function target() { return next(); }).bind(null, 1)(); },
  function applied(next) { return Reflect.apply(function target() { return next(); }, null, []); },
  function proxy(next) { return new Proxy({}, { get() { return next(); } }).x; },
  function symbol(next) { return `${{ [Symbol.toPrimitive]: () => next() }}`; },
  function iterate(next) { const g = generate(next); g.next(); return g.next(); },
  function spread(next) { return [...{ *[Symbol.iterator]() { yield next(); } }]; },
  function tagged(next) { const tag = () => next(); return tag`x`; },
  function asynchronous(next) { (async function later() { return next(); })(); },
  function promise(next) { return new Promise(() => next()); },
  function byEval(next) { return eval('(() => {\n return next();\n})()'); },
  function byFunction(next) { return new Function('next', 'return next();')(next); },
  function byContext(next) { return vm.runInNewContext('\n\nnext()', { next }, '/virtual/context.js'); },
  function named(next) { return vm.runInThisContext('(function wide(next) { /* \u2603 */ return next(); })', { filename: '/virtual/\u2603.js', lineOffset: 41, columnOffset: 7 })(next); },
  function variables(next) { return many(next); },
  function caught(next) { try { throw new Error('x'); } catch (e) { return next(); } finally { inner(); } },
  function defaults(next, x = next()) { return x; },
  function closed(next) { for (const i of [1]) { const f = () => { let j = i; return () => next(j); }; f()(); } },
];

function run(i) {
  if (i === calls.length) {
    return block();
  }
  return calls[i](() => run(i + 1));
}

if (process.argv[2] === 'worker') {
  const { Worker, isMainThread } = require('worker_threads');
  if (isMainThread) {
    for (let i = 0; i < 3; i++) { new Worker(__filename, { argv: ['worker'] }); }
  } else {
    run(0);
  }
} else {
  run(0);
}
