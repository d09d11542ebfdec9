# A shell outside the group sets a limit below its usage.
group lowered memory.max 64M
start lowered lowered 0 touch 32 ready lowered hold
ready lowered
sh -c "echo 16M >$GROUPS_AT/lowered/memory.max" &
echo "sh $!" >>/run/programs
ended lowered sh
