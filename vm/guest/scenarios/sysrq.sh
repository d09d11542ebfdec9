# The administrator requests a kill with the magic SysRq key.
group sysrq
start chosen sysrq 900 touch 24 ready chosen hold
ready chosen
echo f >/proc/sysrq-trigger
ended chosen
