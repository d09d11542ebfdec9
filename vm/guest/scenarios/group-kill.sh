# Three programs in two children of one group, which the kernel kills as a whole.
group whole memory.max 40M memory.oom.group 1
group whole/bystanders
group whole/greedy
start bystander1 whole/bystanders 0 touch 4 ready bystander1 hold
start bystander2 whole/bystanders 0 touch 4 ready bystander2 hold
ready bystander1
ready bystander2
start greedy whole/greedy 0 touch 64
ended greedy bystander1 bystander2
