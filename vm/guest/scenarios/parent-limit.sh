# A small program takes the parent's limit over the edge; the large one beside it is the one to die.
group parent memory.max 40M
group parent/large
group parent/small
start large parent/large 500 touch 26 ready large hold
ready large
start small parent/small 0 touch 20
ended large small
