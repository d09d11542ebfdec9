# A program may use only the second memory node and fills it. The first node has free memory.
group cpuset cpuset.mems 1
start pinned cpuset 500 touch 128
ended pinned
