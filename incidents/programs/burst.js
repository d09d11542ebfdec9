// A service at rest, then a request that takes all: burst.js BASE_MIB SECONDS.
'use strict';
const [base, seconds] = process.argv.slice(2).map(Number);
const make = (mib) => Array.from({ length: mib * 16 }, () => Buffer.alloc(65536, 1));
const index = make(base);

setTimeout(function renderReport() {
  const report = make(600);
  console.log(report.length + index.length);
}, seconds * 1000);
