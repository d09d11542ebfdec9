//! The call stacks of a process that first touched memory.
//!
//! Input: faults with the bytes that they brought, and results of walks. Output: growth by stack. A fault whose stack
//! was copied waits until the copy is walked. Its stack stands for the following faults without a copy, up to the next
//! copied one. Pure.

use std::{collections::VecDeque, sync::Arc};

use memtrace_common::event::fault::{Fault, copied};

use crate::{
    ingest::decode::{Event, SpaceEvent},
    mm::{
        address_space::AddressSpace,
        growth::{StackGrowth, WalkedBy},
        region::{Backing, Prot},
    },
    model::walk::{Key, Unwound},
    unwind::Module,
};

/// The most faults that wait for their walk: more than the unwinder's queue holds.
const MOST_WAITING: usize = 256;
/// The longest wait in ns, in case the unwinder hangs in a file system.
const PATIENCE: u64 = 5_000_000_000;

/// A stack, and how it was walked.
type Walked = (Box<[u64]>, WalkedBy);

/// A fault whose stack is being walked, and the bytes that it stands for.
struct Waiting {
    tid: u32,
    ktime: u64,
    bytes: u64,
    by_pointers: Box<[u64]>,
}

/// The growth of one process by its stacks.
#[derive(Default)]
pub(super) struct Stacks {
    pub(super) growth: StackGrowth,
    waiting: VecDeque<Waiting>,
    /// The stack that was copied last, once it is walked.
    last: Option<Walked>,
    /// The mapped code, until a call changes it; the inner `None` means that not all of it is known.
    modules: Option<Option<Arc<[Module]>>>,
}

impl Stacks {
    /// Takes a fault that brought `bytes` bytes.
    pub(super) fn fault(&mut self, fault: &Fault, bytes: u64) {
        let by_pointers = fault.stack.get(..fault.stack_len as usize).unwrap_or_default();
        let Fault { header, .. } = fault;
        if fault.copied == copied::YES && bytes > 0 && self.waiting.len() < MOST_WAITING {
            let (tid, ktime) = (header.tid, header.ktime);
            self.waiting.push_back(Waiting { tid, ktime, bytes, by_pointers: by_pointers.into() });
        } else if fault.copied == copied::PASSED_OVER {
            self.pass_over(header.ktime, by_pointers, bytes);
        } else {
            self.growth.add(header.ktime, by_pointers, WalkedBy::FramePointers, bytes);
        }
    }

    /// Counts a fault without a walk under the last copied stack.
    fn pass_over(&mut self, at: u64, by_pointers: &[u64], bytes: u64) {
        match (self.waiting.back_mut(), &self.last) {
            (Some(waiting), _) => waiting.bytes = waiting.bytes.saturating_add(bytes),
            (None, Some((stack, walked_by))) => self.growth.add(at, stack, *walked_by, bytes),
            (None, None) => self.growth.add(at, by_pointers, WalkedBy::FramePointers, bytes),
        }
    }

    /// Whether this fault waits for its walk.
    pub(super) fn waits_for(&self, key: Key) -> bool {
        self.waiting.iter().any(|waiting| is_of(waiting, key))
    }

    /// Takes the result of a walk.
    pub(super) fn take(&mut self, unwound: &Unwound) {
        let of_key = |waiting: &Waiting| is_of(waiting, unwound.key);
        let Some(waiting) = self.waiting.iter().position(of_key).and_then(|at| self.waiting.remove(at))
        else {
            return; // a walk of the previous program
        };
        let Some(walked) = &unwound.walked else {
            return self.pass_over(waiting.ktime, &waiting.by_pointers, waiting.bytes);
        };
        // A walk of one frame is no use; the kernel's frame-pointer walk may be longer.
        let walked = Some(walked)
            .filter(|walked| walked.frames.len() > 1)
            .map(|walked| (walked.frames.clone().into_boxed_slice(), walked.walked_by));
        self.settle(waiting, walked);
    }

    /// Bytes of memory that it uses, from counts.
    pub(super) fn footprint(&self) -> u64 {
        let waiting = self.waiting.iter().map(|waiting| size_of_val(&*waiting.by_pointers)).sum::<usize>();
        let modules = self.modules.iter().flatten().map(|modules| size_of_val(&**modules)).sum::<usize>();
        (self.waiting.capacity() * size_of::<Waiting>() + waiting + modules) as u64 + self.growth.footprint()
    }

    /// Whether any fault waits for a walk.
    pub(super) fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Gives up on faults that waited too long; true when there was any.
    pub(super) fn give_up(&mut self, now: u64) -> bool {
        let before = self.waiting.len();
        while let Some(waiting) =
            self.waiting.pop_front_if(|waiting| waiting.ktime.saturating_add(PATIENCE) < now)
        {
            self.settle(waiting, None);
        }
        self.waiting.len() < before
    }

    fn settle(&mut self, waiting: Waiting, walked: Option<Walked>) {
        let Waiting { ktime, bytes, by_pointers, .. } = waiting;
        let (stack, walked_by) = walked.unwrap_or((by_pointers, WalkedBy::FramePointers));
        self.growth.add(ktime, &stack, walked_by, bytes);
        self.last = Some((stack, walked_by));
    }

    /// Takes a call that may have changed the mapped code.
    pub(super) fn changed(&mut self, event: &Event) {
        let touches = |addr: u64, len: u64| {
            let end = addr.saturating_add(len);
            let overlaps = |module: &Module| module.range.start < end && addr < module.range.end;
            self.modules.iter().flatten().any(|modules| modules.iter().any(overlaps))
        };
        let is_code = |prot: u64| Prot::from_call(prot).0 & Prot::EXEC != 0;
        let has_changed = match event {
            Event::Space(SpaceEvent::Mmap(call)) => is_code(call.prot.into()) || touches(call.addr, call.len),
            Event::Space(SpaceEvent::Mprotect(call)) => is_code(call.prot) || touches(call.addr, call.len),
            Event::Space(SpaceEvent::Munmap(call)) => touches(call.addr, call.len),
            Event::Space(SpaceEvent::Mremap(call)) => {
                touches(call.old_addr, call.old_len) || touches(call.new_addr, call.new_len)
            }
            _ => false,
        };
        if has_changed {
            self.modules = None;
        }
    }

    /// Drops the modules, because the regions were read again.
    pub(super) fn forget_modules(&mut self) {
        self.modules = None;
    }

    /// The code of the process; `None` when not all of it is known.
    pub(super) fn modules(&mut self, space: &AddressSpace) -> Option<Arc<[Module]>> {
        let of_space = || {
            let mut modules = Vec::new();
            for region in space.regions() {
                let module = Module::of(&region);
                if module.is_some() && region.backing == Backing::UnknownFile {
                    return None;
                }
                modules.extend(module);
            }
            Some(modules.into())
        };
        self.modules.get_or_insert_with(of_space).clone()
    }
}

fn is_of(waiting: &Waiting, key: Key) -> bool {
    (waiting.tid, waiting.ktime) == (key.tid, key.ktime)
}

#[cfg(test)]
mod tests {
    use memtrace_common::event::{
        Header, Kind,
        fault::{Fault, copied},
    };
    use zerocopy::FromZeros as _;

    use super::{Key, PATIENCE, Stacks, Unwound, WalkedBy};
    use crate::{mm::growth::Window, unwind::walk::Walked};

    const POINTERS: [u64; 1] = [0x1000];

    fn fault(ktime: u64, copied: u32) -> Fault {
        let mut fault = Fault::new_zeroed();
        fault.header = Header { ktime, tgid: 5, tid: 6, kind: Kind::Fault as u16, cpu: 0, reserved: 0 };
        (fault.copied, fault.stack_len, fault.stack[0]) = (copied, 1, POINTERS[0]);
        fault
    }

    fn unwound(ktime: u64, frames: &[u64]) -> Unwound {
        let walked = Walked { frames: frames.to_vec(), walked_by: WalkedBy::Tables };
        Unwound { key: Key::of(5, &fault(ktime, copied::YES)), walked: Some(walked) }
    }

    fn top(stacks: &Stacks) -> Vec<(Vec<u64>, WalkedBy, u64)> {
        let top = stacks.growth.top(Window::Minutes10, PATIENCE * 2, 10);
        top.into_iter().map(|(stack, by, bytes)| (stack.to_vec(), by, bytes)).collect()
    }

    #[test]
    fn a_copied_stack_stands_for_the_faults_up_to_the_next_one() {
        let mut stacks = Stacks::default();
        stacks.fault(&fault(1, copied::YES), 10);
        stacks.fault(&fault(2, copied::PASSED_OVER), 20);
        assert_eq!(top(&stacks), [], "it waits");
        stacks.take(&unwound(1, &[1, 2, 3]));
        stacks.fault(&fault(3, copied::PASSED_OVER), 30);
        assert_eq!(top(&stacks), [(vec![1, 2, 3], WalkedBy::Tables, 60)]);
        stacks.fault(&fault(4, copied::YES), 100);
        stacks.take(&unwound(4, &[4, 5]));
        // A stack that the unwinder dropped counts as not copied.
        stacks.fault(&fault(5, copied::YES), 50);
        stacks.take(&Unwound { walked: None, ..unwound(5, &[]) });
        assert_eq!(top(&stacks)[0], (vec![4, 5], WalkedBy::Tables, 150));
    }

    #[test]
    fn without_a_walk_it_is_what_the_kernel_found() {
        let by_pointers = |bytes| [(POINTERS.to_vec(), WalkedBy::FramePointers, bytes)];
        let mut stacks = Stacks::default();
        stacks.fault(&fault(1, copied::NO), 1);
        stacks.fault(&fault(2, copied::PASSED_OVER), 2);
        assert_eq!(top(&stacks), by_pointers(3));
        stacks.fault(&fault(3, copied::YES), 4);
        stacks.take(&unwound(3, &[]));
        assert_eq!(top(&stacks), by_pointers(7));
        // A walk of one frame is no use.
        stacks.fault(&fault(4, copied::YES), 8);
        stacks.take(&unwound(4, &[9]));
        assert_eq!(top(&stacks), by_pointers(15));
    }

    #[test]
    fn what_never_comes_is_not_waited_for() {
        let mut stacks = Stacks::default();
        stacks.fault(&fault(7, copied::YES), 10);
        assert!(stacks.waits_for(unwound(7, &[]).key) && !stacks.waits_for(unwound(8, &[]).key));
        stacks.give_up(7 + PATIENCE);
        assert_eq!(top(&stacks), []);
        stacks.give_up(8 + PATIENCE);
        assert_eq!(top(&stacks), [(POINTERS.to_vec(), WalkedBy::FramePointers, 10)]);
        stacks.take(&unwound(7, &[1, 2]));
        assert_eq!(top(&stacks).len(), 1, "too late");
    }
}
