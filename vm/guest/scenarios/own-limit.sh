# A program exceeds the limit of its own group.
group own memory.max 24M
start own own 0 touch 48
ended own
