// Grows, holds and frees memory on command. See ../README.md for the protocol.
'use strict';

const MIB = 1 << 20;
let blocks = [];
let buffers = [];

// The function that grows: the tests look for its name in stacks.
function growBlock(number) {
  blocks.push({ number, text: String(number).repeat(8), list: [number, number + 1, number + 2] });
}

// Three quarters on the V8 heap (an entry takes about 200 bytes), one quarter in buffers outside it.
function grow(mib) {
  for (let done = 0; done < (mib * MIB * 3) / 4; done += 200) growBlock(done);
  for (let done = 0; done < (mib * MIB) / 4; done += MIB) buffers.push(Buffer.alloc(MIB, 0x5a));
}

function release(percent) {
  const keep = (_, i) => Math.floor(((i + 1) * percent) / 100) === Math.floor((i * percent) / 100);
  blocks = blocks.filter(keep);
  buffers = buffers.filter(keep);
  if (global.gc) global.gc();
}

const commands = {
  grow,
  free: release,
  hold() {},
  gc() {
    if (global.gc) global.gc();
  },
};

console.log('ok ready');
require('readline')
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [name, value = '0'] = line.trim().split(/ +/);
    if (name === '') return;
    if (name === 'quit') {
      console.log('ok quit');
      process.exit(0);
    }
    if (!Object.hasOwn(commands, name)) {
      console.log(`error unknown command ${name}`);
      return;
    }
    commands[name](Number(value));
    console.log(`ok ${name} ${value}`);
  })
  .on('close', () => process.exit(0));
