# A shell kills a program. No OOM kill: no record is expected.
group killed
start killed killed 0 touch 16 ready killed hold
ready killed
kill -9 "$(pid killed)"
ended killed
