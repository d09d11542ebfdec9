//! docs/performance.md.
//!
//! Figures -> Markdown. Pure.

use super::{
    Measured,
    alone::Alone,
    containers::Idle,
    load::LOADS,
    machine::Machine,
    model::Model,
    rounds::STATES,
    running::Running,
    stats::{Interval, Summary},
    targets::targets,
};

const HEAD: &str = "# Performance

What memtrace costs, measured by `cargo xtask bench --update`, which writes this file; do not edit it. Each round runs
the same work in every state, in an order that changes between rounds. A figure is the median over all rounds, with the
first and third quartile in parentheses. A ratio compares a run with the run without memtrace in the same round.
";

/// The whole document.
pub(crate) fn render(measured: &Measured) -> String {
    let mut text = HEAD.to_owned();
    let Machine { processor, cpus, memory_mib, kernel, is_virtual, load } = &measured.machine;
    text.push_str(&format!(
        "\nMeasured on {cpus} CPUs ({processor}{}), {memory_mib} MiB of memory, Linux {kernel}, load {load} at the \
         start, {} rounds.\n",
        if *is_virtual { ", a virtual machine" } else { "" },
        measured.rounds.rounds
    ));
    targets_section(measured, &mut text);
    rounds_section(measured, &mut text);
    peers_section(measured, &mut text);
    programs_section(measured, &mut text);
    alone_section(measured, &mut text);
    running_section(measured, &mut text);
    text
}

fn targets_section(measured: &Measured, text: &mut String) {
    text.push_str("\n## Targets\n\n| what | target | measured | result |\n|---|---|---|---|\n");
    for target in targets(measured) {
        let found = target.found.as_deref().unwrap_or("not measured");
        let verdict =
            if target.is_met { "met".to_owned() } else { format!("**not met**: {}", target.reason) };
        text.push_str(&format!("| {} | {} | {found} | {verdict} |\n", target.what, target.wanted));
    }
}

fn rounds_section(measured: &Measured, text: &mut String) {
    text.push_str("\n## The same work with and without memtrace\n\n");
    for state in STATES {
        text.push_str(&format!("- *{}*: {}\n", state.name, state.does));
    }
    text.push_str(
        "\nFor rates (redis, HTTP) the ratio is inverted, so that above 1 always means more expensive.\n\n| work |",
    );
    for state in STATES {
        text.push_str(&format!(" {} |", state.name));
    }
    text.push_str(&format!("\n|---|{}\n", "---|".repeat(STATES.len())));
    for load in LOADS {
        text.push_str(&format!("| {} |", load.does));
        for (number, state) in STATES.iter().enumerate() {
            let cell = measured.rounds.cell(load.name, state.name);
            let figure = cell.and_then(|cell| if number == 0 { cell.figure } else { cell.ratio });
            let unit = match (number, load.figure) {
                (0, super::load::Figure::Nanoseconds) => " ns",
                (0, super::load::Figure::Rate) => "/s",
                _ => "×",
            };
            let digits = if number == 0 { 0 } else { 3 };
            text.push_str(&format!(" {} |", shown(figure, digits, unit)));
        }
        text.push('\n');
    }
}

fn peers_section(measured: &Measured, text: &mut String) {
    text.push_str(
        "\n## Other tools on the same work\n\nHere a ratio compares with the run without the tool in the same round.\n\n\
         | tool | work | ratio |\n|---|---|---|\n",
    );
    for peer in &measured.peers {
        let ratio = match &peer.why_not {
            Some(why) => format!("not measured: {}", why.lines().next().unwrap_or_default()),
            None => shown(peer.ratio, 3, "×"),
        };
        let work = LOADS.iter().find(|load| load.name == peer.load).map_or(peer.load, |load| load.does);
        text.push_str(&format!("| {} | {work} | {ratio} |\n", peer.tool));
    }
}

fn programs_section(measured: &Measured, text: &mut String) {
    text.push_str(
        "\n## Cost of one event\n\nMeasured by the kernel (`kernel.bpf_stats_enabled`), without an event budget, \
         under the page-fault, mmap, malloc and fork loads.\n\n| fact | hook | runs | ns per run |\n|---|---|---|---|\n",
    );
    for program in &measured.programs {
        let each = program.ns_each.map_or("-".to_owned(), |ns| format!("{ns:.0}"));
        text.push_str(&format!("| {} | {} | {} | {each} |\n", program.fact, program.form, program.runs));
    }
}

fn alone_section(measured: &Measured, text: &mut String) {
    text.push_str(
        "\n## The daemon\n\nIdle: measured for 20 s after the first scan of all page tables, with sleeping \
         processes in separate cgroups.\n\n\
         | containers | processes | CPU | resident | BPF maps | start | first scan |\n|---|---|---|---|---|---|---|\n",
    );
    for Idle { containers, processes, cpu_percent, rss_mib, map_mib, ready_ms, first_look_s } in
        &measured.containers
    {
        let first = first_look_s.map_or("longer than 180 s".to_owned(), |seconds| format!("{seconds:.0} s"));
        text.push_str(&format!(
            "| {containers} | {processes} | {cpu_percent:.2} % | {rss_mib:.1} MiB | {map_mib:.1} MiB | {ready_ms:.0} ms | {first} |\n"
        ));
    }
    let Model {
        live_events_per_second,
        live_losses,
        live_cpu_percent,
        budget_cpu_percent,
        replayed_events_per_second,
        replayed_events,
        why_not,
    } = &measured.model;
    let Alone { kill_to_record_ms, ready_ms, binary_mib } = &measured.alone;
    text.push_str(&format!(
        "\n- Live stream of one thread that maps and unmaps, without an event budget: {:.0} k events/s, {live_losses} lost, \
         {live_cpu_percent:.0} % of a CPU for the daemon; with the default budget {budget_cpu_percent:.1} %\n",
        live_events_per_second / 1e3
    ));
    text.push_str(&match (replayed_events_per_second, why_not) {
        (Some(rate), _) => format!(
            "- Replay of a recording of {replayed_events} events, reading the file included: {:.2} M events/s\n",
            rate / 1e6
        ),
        (None, why) => format!("- Replay: not measured: {}\n", why.as_deref().unwrap_or("no reason")),
    });
    text.push_str(&format!(
        "- From the end of a victim to the commit of its record: {}\n",
        shown(*kill_to_record_ms, 1, " ms")
    ));
    text.push_str(&format!("- From start to ready: {}\n", shown(*ready_ms, 0, " ms")));
    text.push_str(&format!("- The binary: {binary_mib:.1} MiB, static, including the kernel programs\n"));
}

fn running_section(measured: &Measured, text: &mut String) {
    text.push_str(
        "\n## A command under `memtrace run`\n\nThe time of the whole program, against the command alone, in pairs that \
         take turns. The interval has the median with 95 % confidence.\n\n\
         | command | alone | ratio | median is in | added |\n|---|---|---|---|---|\n",
    );
    for Running { does, alone_seconds, ratio, interval, added_ms } in &measured.running {
        let interval = interval.map_or("unknown: too few pairs".to_owned(), |Interval { from, to }| {
            format!("{from:.3} to {to:.3}")
        });
        text.push_str(&format!(
            "| {does} | {} | {} | {interval} | {} |\n",
            shown(*alone_seconds, 2, " s"),
            shown(*ratio, 3, "×"),
            shown(*added_ms, 1, " ms")
        ));
    }
}

/// `1.017× (1.010 to 1.022)`
fn shown(figure: Option<Summary>, digits: usize, unit: &str) -> String {
    figure.map_or("not measured".to_owned(), |Summary { median, low, high, count: _ }| {
        format!("{median:.digits$}{unit} ({low:.digits$} to {high:.digits$})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_shown_with_its_spread() {
        let figure = Summary { median: 1.0167, low: 1.01, high: 1.02, count: 10 };
        assert_eq!(shown(Some(figure), 3, "×"), "1.017× (1.010 to 1.020)");
        assert_eq!(shown(None, 3, "×"), "not measured");
    }
}
