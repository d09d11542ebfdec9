//! The OOM scenarios: one row each.
//!
//! Data: what is done (the script of the same name in vm/guest/scenarios does it) and what must come of it on every
//! kernel. What a kernel is not able to tell is in its expected table, never here.

/// The daemon that watches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tracer {
    /// As it is by default.
    Usual,
    /// As on a kernel without type information.
    WithoutBtf,
}

impl Tracer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Usual => "daemon",
            Self::WithoutBtf => "daemon-without-btf",
        }
    }

    pub(crate) fn arguments(self) -> &'static str {
        match self {
            Self::Usual => "",
            // What was killed before it is in the log, and in the store of the daemon before.
            Self::WithoutBtf => "--without btf --no-backfill",
        }
    }
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit {
    /// A group's, of so many MiB.
    Group(&'static str, u64),
    /// Nobody's: the node's memory.
    Node,
}

/// Who is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Victims {
    /// Nobody.
    None,
    /// This program.
    One(&'static str),
    /// This program first; perhaps others, so many in all, because memory is not given back at once.
    First(&'static str, usize),
    /// This program first, and then so many in all.
    Group(&'static str, usize),
}

/// Who asks for memory when there is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asker {
    /// This program.
    Program(&'static str),
    /// A worker of the kernel.
    Worker,
    /// Whoever is first.
    Anyone,
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) script: &'static str,
    /// In words, for the document.
    pub(crate) does: &'static str,
    pub(crate) tracer: Tracer,
    pub(crate) limit: Limit,
    pub(crate) victims: Victims,
    pub(crate) asker: Asker,
    /// The causes that the first record may have, with more than low confidence; empty where the kernel alone does not
    /// tell.
    pub(crate) causes: &'static [&'static str],
}

const OWN_LIMIT: Scenario = Scenario {
    name: "own-limit",
    script: "own-limit",
    does: "a program grows beyond the limit of its own cgroup",
    tracer: Tracer::Usual,
    limit: Limit::Group("/own", 24),
    victims: Victims::One("own"),
    asker: Asker::Program("own"),
    causes: &[],
};

/// In the order in which they are run; what shakes the whole node comes last.
pub(crate) const SCENARIOS: [Scenario; 10] = [
    OWN_LIMIT,
    Scenario {
        name: "parent-limit",
        script: "parent-limit",
        does: "a small program reaches the limit of the parent; the kernel kills the large one in the sibling cgroup",
        limit: Limit::Group("/parent", 40),
        victims: Victims::First("large", 2),
        asker: Asker::Program("small"),
        ..OWN_LIMIT
    },
    Scenario {
        name: "ancestor-limit",
        script: "ancestor-limit",
        does: "the limit is three levels above the program, and no level between has one",
        limit: Limit::Group("/ancestor", 24),
        victims: Victims::One("ancestor"),
        asker: Asker::Program("ancestor"),
        ..OWN_LIMIT
    },
    Scenario {
        name: "group-kill",
        script: "group-kill",
        does: "three programs in two cgroups are killed together, because their parent sets memory.oom.group",
        limit: Limit::Group("/whole", 40),
        victims: Victims::Group("greedy", 3),
        asker: Asker::Program("greedy"),
        // Killed within a second of their start. A guest that gets no CPU may take half a minute for that; then the history
        // shows growth, or usage near the limit.
        causes: &["start_up", "burst", "limit_too_tight", "leak"],
        ..OWN_LIMIT
    },
    Scenario {
        name: "lowered-limit",
        script: "lowered-limit",
        does: "a shell outside the cgroup lowers memory.max below the usage",
        limit: Limit::Group("/lowered", 16),
        victims: Victims::One("lowered"),
        asker: Asker::Program("sh"),
        causes: &["limit_lowered"],
        ..OWN_LIMIT
    },
    Scenario {
        name: "kill-9",
        script: "kill-9",
        does: "a shell kills a program with SIGKILL, which is no OOM kill",
        victims: Victims::None,
        asker: Asker::Anyone,
        ..OWN_LIMIT
    },
    Scenario {
        name: "sysrq",
        script: "sysrq",
        does: "the administrator requests an OOM kill with SysRq f",
        limit: Limit::Node,
        victims: Victims::One("chosen"),
        asker: Asker::Worker,
        causes: &["requested"],
        ..OWN_LIMIT
    },
    Scenario {
        name: "cpuset",
        script: "cpuset",
        does: "the only NUMA node of a cpuset is full; another node has free memory",
        limit: Limit::Node,
        victims: Victims::One("pinned"),
        asker: Asker::Anyone,
        causes: &["cpuset_or_policy"],
        ..OWN_LIMIT
    },
    Scenario {
        name: "node",
        script: "node",
        does: "the node runs out of memory; no cgroup has a limit",
        limit: Limit::Node,
        victims: Victims::First("greedy", 3),
        asker: Asker::Anyone,
        causes: &["node_exhaustion"],
        ..OWN_LIMIT
    },
    Scenario {
        name: "own-limit-without-btf",
        does: "as own-limit, but the daemon runs with `--without btf`",
        tracer: Tracer::WithoutBtf,
        ..OWN_LIMIT
    },
];
