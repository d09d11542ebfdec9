# A small program exceeds the limit of the parent. The kernel kills the larger program next to it.
group parent memory.max 40M
group parent/large
group parent/small
start large parent/large 500 touch 26 ready large hold
ready large
start small parent/small 0 touch 20
ended large small
