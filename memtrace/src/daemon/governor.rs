//! Keeps the daemon within its CPU budget.
//!
//! Input: the CPU time used at each tick. Output: how much work to do: [`Orders`]. First page tables are read less
//! often, then page faults are sampled more coarsely, then fewer calls of one process are streamed. Every reduction is
//! shown, and undone when CPU time is available again. Pure. CPU time of the kernel programs is charged to the traced
//! processes and not included.

use std::time::Duration;

use crate::snapshot::Cpu;

/// Ticks above the budget before the work is reduced, and ticks well below it before it is increased again.
const PATIENCE: u32 = 3;
const CALM: u32 = 15;
/// Well below: in percent of the budget.
const WELL_BELOW: f64 = 60.0;
/// Weight of the last tick in the moving average.
const WEIGHT: f64 = 0.3;

/// How much work to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orders {
    /// The part of one CPU for page tables, in percent.
    pub scan_share: u32,
    /// One in 2^`fault_shift` of the otherwise sampled page faults is sampled.
    pub fault_shift: u32,
    /// The event budget of a process is divided by 2^`budget_shift`.
    pub budget_shift: u32,
}

/// The reductions of each step: the divisor of the scan share, and the shifts.
const STEPS: [(u32, u32, u32); 6] = [(1, 0, 0), (4, 0, 0), (4, 2, 0), (4, 2, 2), (8, 4, 4), (16, 6, 6)];

/// The governor.
#[derive(Clone, Debug)]
pub struct Governor {
    budget: u32,
    scan_share: u32,
    step: usize,
    used: Option<f64>,
    last: Option<(Duration, u64)>,
    over: u32,
    below: u32,
}

impl Governor {
    /// A governor with a budget in percent of one CPU; 0 for no budget.
    pub const fn new(budget: u32, scan_share: u32) -> Self {
        Self { budget, scan_share, step: 0, used: None, last: None, over: 0, below: 0 }
    }

    /// Takes the CPU time used so far, and the time in ns since boot, at a tick.
    pub fn tick(&mut self, cpu: Duration, now: u64) -> Orders {
        if let Some((was, then)) = self.last.replace((cpu, now)) {
            let (spent, over) = (cpu.saturating_sub(was).as_nanos() as f64, now.saturating_sub(then));
            if over > 0 {
                let part = spent * 100.0 / over as f64;
                self.used = Some(self.used.map_or(part, |used| used + WEIGHT * (part - used)));
                self.step();
            }
        }
        self.orders()
    }

    fn step(&mut self) {
        let (Some(used), true) = (self.used, self.budget > 0) else { return };
        let budget = f64::from(self.budget);
        self.over = if used > budget { self.over + 1 } else { 0 };
        self.below = if used * 100.0 < budget * WELL_BELOW { self.below + 1 } else { 0 };
        if self.over >= PATIENCE && self.step + 1 < STEPS.len() {
            (self.step, self.over) = (self.step + 1, 0);
        } else if self.below >= CALM && self.step > 0 {
            (self.step, self.below) = (self.step - 1, 0);
        }
    }

    /// The current orders.
    pub fn orders(&self) -> Orders {
        let (divisor, fault_shift, budget_shift) = STEPS.get(self.step).copied().unwrap_or((1, 0, 0));
        Orders { scan_share: (self.scan_share / divisor).max(1), fault_shift, budget_shift }
    }

    /// The state for the snapshot.
    pub fn state(&self) -> Cpu {
        let Orders { scan_share: _, fault_shift, budget_shift } = self.orders();
        Cpu {
            budget_percent: self.budget,
            used_percent: self.used,
            step: self.step,
            fault_shift,
            budget_shift,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CALM, Duration, Governor, Orders, PATIENCE, STEPS};

    const SECOND: u64 = 1_000_000_000;

    /// Runs `ticks` ticks of one second, each with `percent` of a CPU used.
    fn run(governor: &mut Governor, at: &mut u64, used: &mut Duration, ticks: u32, percent: u64) -> Orders {
        let mut orders = governor.orders();
        for _ in 0..ticks {
            *at += SECOND;
            *used += Duration::from_millis(percent * 10);
            orders = governor.tick(*used, *at);
        }
        orders
    }

    #[test]
    fn what_is_held_back_grows_in_order_and_comes_back() {
        let (mut governor, mut at, mut used) = (Governor::new(10, 8), 0, Duration::ZERO);
        let all = Orders { scan_share: 8, fault_shift: 0, budget_shift: 0 };
        assert_eq!(run(&mut governor, &mut at, &mut used, 100, 9), all);
        let mut last = (8, 0, 0);
        for _ in 1..STEPS.len() {
            let Orders { scan_share, fault_shift, budget_shift } =
                run(&mut governor, &mut at, &mut used, PATIENCE, 60);
            assert!(scan_share <= last.0 && fault_shift >= last.1 && budget_shift >= last.2);
            last = (scan_share, fault_shift, budget_shift);
        }
        run(&mut governor, &mut at, &mut used, 50, 60);
        assert_eq!(governor.state().step, STEPS.len() - 1);
        run(&mut governor, &mut at, &mut used, 20 + CALM * STEPS.len() as u32, 1);
        assert_eq!(governor.orders(), all);
    }

    #[test]
    fn one_busy_tick_changes_nothing_and_neither_does_no_budget() {
        let (mut governor, mut at, mut used) = (Governor::new(10, 8), 0, Duration::ZERO);
        run(&mut governor, &mut at, &mut used, 20, 2);
        run(&mut governor, &mut at, &mut used, 1, 30);
        assert_eq!(run(&mut governor, &mut at, &mut used, 20, 2).scan_share, 8);
        let (mut free, mut at, mut used) = (Governor::new(0, 8), 0, Duration::ZERO);
        assert_eq!(run(&mut free, &mut at, &mut used, 100, 99).scan_share, 8);
    }

    #[test]
    fn between_well_below_and_over_it_stays() {
        let (mut governor, mut at, mut used) = (Governor::new(10, 8), 0, Duration::ZERO);
        run(&mut governor, &mut at, &mut used, PATIENCE + 1, 50);
        let step = governor.state().step;
        assert!(step > 0);
        run(&mut governor, &mut at, &mut used, 12, 1);
        let step = governor.state().step.max(step);
        run(&mut governor, &mut at, &mut used, 100, 8);
        assert!(governor.state().step <= step && governor.state().step > 0);
    }
}
