# The node itself runs out of memory; no group has a limit.
# The spare programs are further victims, for a kernel that needs memory again before that of the greedy program is
# freed. Without anybody left to kill it would panic.
group node
group node/greedy
group node/spare
start spare1 node/spare 0 touch 4 ready spare1 hold
start spare2 node/spare 0 touch 4 ready spare2 hold
ready spare1
ready spare2
start greedy node/greedy 500 touch 2048
ended greedy
