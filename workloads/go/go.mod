module memtrace-workload

go 1.19
