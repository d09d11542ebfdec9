#!/bin/sh
# A redis in the small Debian that saves while all of it is written anew: redis-save.sh TREE KEYS SIZE.
# It has a mount namespace of its own, in which the directory of the run is the tree's /tmp.
set -e
tree=$1
mount --bind "$PWD" "$tree/tmp"
chroot "$tree" redis-server --port 0 --unixsocket /tmp/socket --save '' --dir /tmp --rdb-key-save-delay 1000 \
    --loglevel warning &
server=$!
ask() { chroot "$tree" redis-cli -s /tmp/socket "$@"; }
until ask ping > ping 2>&1 && grep -q PONG ping; do
    kill -0 $server
    sleep 0.1
done
write() { ask eval "for i = $1, $2 do redis.call('set', 'key' .. i, string.rep('$4', $3)) end" 0 >> written; }
write 1 "$2" "$3" x
sleep 8
ask bgsave > bgsave
from=1
while [ $from -lt "$2" ]; do
    write $from $((from + 500)) "$3" y
    from=$((from + 501))
done
echo ready
wait
