// A worker that keeps every answer: leak.js objects|buffers RATE_KIB SIZE.
'use strict';
const [kind, ...numbers] = process.argv.slice(2);
const [rate, size] = numbers.map(Number);
const answers = [];
const begin = Date.now();
let kept = 0;

function rememberAnswer() {
  if (kind === 'buffers') answers.push(Buffer.alloc(size, 1));
  else answers.push(Array.from({ length: Math.ceil(size / 64) }, (_, at) => ({ at, of: answers.length + 0.5 })));
  kept += size;
}

setInterval(() => {
  while (kept < ((Date.now() - begin) / 1000) * rate * 1024) rememberAnswer();
}, 20);
