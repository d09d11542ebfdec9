// A cache of objects: heap.js MIB SECONDS. It grows to MIB of objects within SECONDS, and then rests.
'use strict';
const [mib, seconds] = process.argv.slice(2).map(Number);
const cache = [];
const begin = Date.now();

function fillCache() {
  const due = Math.min(1, (Date.now() - begin) / 1000 / seconds) * mib;
  // Some 128 bytes each: an object, its text, and its place in the cache.
  while (cache.length < due * 8192) cache.push({ id: cache.length, text: 'item ' + cache.length });
  if (due < mib) return setTimeout(fillCache, 20);
  console.log('ready');
  return setInterval(() => {}, 1 << 30);
}

fillCache();
