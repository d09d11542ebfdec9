# A shell kills a program: not a matter of memory, and nothing to record.
group killed
start killed killed 0 touch 16 ready killed hold
ready killed
kill -9 "$(pid killed)"
ended killed
