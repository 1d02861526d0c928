// A program that works, forever. Each call of a function of its own stands in a line with
// the function's name.
'use strict';

function climb(n, work) {
  if (n === 0) { return work(); } // strings sorts counts parses replaces floats sums steps throws multiplies filters
  return climb(n - 1, work);
}
function upper(x) { return x.toUpperCase(); }
function strings() {
  let s = '';
  for (let i = 0; i < 200; i++) {
    s += String.fromCharCode(97 + i % 26);
  }
  return s.split('a').map(upper).join('-').length;
}
function less(x, y) { return x - y; }
function sorts() {
  const a = [];
  for (let i = 0; i < 100; i++) {
    a.push((i * 7919) % 101);
  }
  return a.sort(less)[50];
}
class Counter {
  constructor() { this.counts = new Map(); }
  add(key) {
    this.counts.set(key, (this.counts.get(key) || 0) + 1);
    if (this.counts.size > 500) { this.counts.clear(); }
    return this;
  }
}
let counter = new Counter();
function counts() {
  for (let i = 0; i < 100; i++) {
    counter.add('k' + i % 37);
  }
  counter = new Counter();
  return counter.counts.size;
}
function revive(key, value) { return value; }
function parses() {
  const text = JSON.stringify({ a: [1, 2, { b: 'c' }], d: 'e'.repeat(50) });
  return JSON.parse(text, revive).d.length;
}
function swap(_, a, b) { return b + a; }
function replaces() {
  return 'the quick brown fox jumps over it'.replace(/(\w+) (\w+)/g, swap).length;
}
function floats() {
  let x = 0.5;
  for (let i = 0; i < 2000; i++) {
    x = Math.sin(x) * 3.1 + Math.sqrt(i);
  }
  return x;
}
function sum(s, f) { return f + s; }
function sums() {
  const f = [];
  for (let i = 0; i < 50; i++) {
    f.push(i);
  }
  return f.reduce(sum, 0);
}
function* count() {
  for (let i = 0; i < 50; i++) {
    yield i;
  }
}
function steps() {
  let s = 0;
  for (const v of count()) { // count
    s += v;
  }
  return s;
}
function fail(i) { throw new Error('x' + i); }
function throws() {
  let n = 0;
  for (let i = 0; i < 10; i++) {
    try {
      fail(i);
    } catch (e) {
      n += e.message.length;
    }
  }
  return n;
}
function multiplies() {
  let b = 1n;
  for (let i = 1n; i < 60n; i++) {
    b *= i;
  }
  return b.toString().length;
}
function twice(v) { return v * 2; }
function large(v) { return v > 10; }
function filters() {
  const t = new Float64Array(500);
  for (let i = 0; i < t.length; i++) {
    t[i] = i * 1.5;
  }
  return t.map(twice).filter(large).length; // twice large
}

const kinds = [strings, sorts, counts, parses, replaces, floats, sums, steps, throws, multiplies, filters];
function spin() {
  let s = 0;
  for (let i = 0; ; i++) {
    s += climb(i % 7, kinds[i % kinds.length]);
    if (i === 100) {
      console.log('ready');
    }
  }
}
spin();
