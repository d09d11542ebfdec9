# A program may use the second memory node alone, and fills it; the first has room.
group cpuset cpuset.mems 1
start pinned cpuset 500 touch 128
ended pinned
