# The limit is three levels above the program; no level in between has one.
group ancestor memory.max 24M
group ancestor/one
group ancestor/one/two
group ancestor/one/two/three
start ancestor ancestor/one/two/three 0 touch 48
ended ancestor
