// A program that blocks below functions that V8 has optimised, one of them in the others:
// with TurboFan, or with Maglev. What it says first is its own view of its stack, as in
// still.js. It needs --allow-natives-syntax.
'use strict';
const fs = require('fs');
Error.stackTraceLimit = 1000;
function view() {
  const old = Error.prepareStackTrace;
  Error.prepareStackTrace = (_, sites) => sites;
  const sites = new Error().stack.slice(1);
  Error.prepareStackTrace = old;
  return sites.filter((s) => !s.isNative() && s.getLineNumber() !== null).map((s) =>
    [s.getFunctionName() || '', s.getScriptNameOrSourceURL() || s.getFileName() || '', s.getLineNumber(), s.getColumnNumber()]);
}
let real = false;
function block() { if (real) { const v = view(); fs.writeSync(1, JSON.stringify(v) + '\n'); wait(); } return 1; }
function wait() { return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }
%NeverOptimizeFunction(wait); %NeverOptimizeFunction(block);
function leaf(n) {
  return n > 0 ?
    leaf2(n) : block();
}
function leaf2(n) { const k = n * 2;
  return block() + k; }
class Shape { constructor(n) { this.n = n; } area(d) { return this.n * 2 + inner(this.n, d); } }
function inner(a, d) {
  let s = 0;
  for (let i = 0; i < 3; i++) { s += a;
    s += twice((x) => x + leaf(a)); }
  return d > 0 ? s + outer(a,
    d - 1) : s;
}
function twice(f) { return f(1) +
   f(2); }
function outer(n, d) {
  const sh = new Shape(n);
  return [1, 2].map((v) => sh.area(d) + v).reduce((x, y) => x + y, 0);
}
for (const f of [leaf, leaf2, inner, twice, outer, Shape.prototype.area, Shape]) %PrepareFunctionForOptimization(f);
for (let i = 0; i < 300; i++) outer(i % 3, 2);
const which = process.argv[2] || 'turbofan';
for (const f of [leaf, leaf2, inner, twice, outer, Shape.prototype.area]) {
  if (which === 'maglev') %OptimizeMaglevOnNextCall(f); else %OptimizeFunctionOnNextCall(f);
}
for (let i = 0; i < 30; i++) outer(i % 3, 2);
real = true;
outer(1, 6);
