# A worker that keeps every answer: leak.rb RATE_KIB SIZE
ANSWERS = []

def remember_answer(size)
  ANSWERS << 'x' * size
end

rate, size = ARGV[0].to_f * 1024, ARGV[1].to_i
start, kept = Process.clock_gettime(Process::CLOCK_MONOTONIC), 0
loop do
  while kept < (Process.clock_gettime(Process::CLOCK_MONOTONIC) - start) * rate
    remember_answer(size)
    kept += size
  end
  sleep 0.05
end
