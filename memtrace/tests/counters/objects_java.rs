//! What fills a Java heap, against the histogram that the virtual machine makes itself.

use std::{collections::HashMap, path::Path, process::Command};

use super::{reading::Known, workload::Workload};

/// Bytes and instances of each class, as `jcmd` prints them, which includes garbage.
fn said(pid: u32) -> HashMap<String, (u64, u64)> {
    let mut command = Command::new("jcmd");
    let output = command.args([&pid.to_string(), "GC.class_histogram", "-all"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // `   1:         39893        2160248  [B (java.base@17.0.15)`
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        words.next()?.strip_suffix(':')?.parse::<u32>().ok()?;
        let (count, bytes) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((readable(words.next()?), (bytes, count)))
    };
    String::from_utf8(output.stdout).unwrap().lines().filter_map(line).collect()
}

/// Before it counts, the virtual machine fills what threads have left of eden: with arrays of `int`, and with those of a
/// class of its own since 19.
const FILLERS: [&str; 2] = ["int[]", "jdk.internal.vm.FillerElement[]"];

fn readable(name: &str) -> String {
    let element = name.trim_start_matches('[');
    let depth = name.len() - element.len();
    let element = match element {
        "B" => "byte",
        "C" => "char",
        "D" => "double",
        "F" => "float",
        "I" => "int",
        "J" => "long",
        "S" => "short",
        "Z" => "boolean",
        class => class.strip_prefix('L').and_then(|class| class.strip_suffix(';')).unwrap_or(class),
    };
    let name = if depth == 0 { name } else { element };
    format!("{name}{}", "[]".repeat(depth))
}

#[test]
fn at_rest_the_largest_classes_are_those_of_the_histogram() {
    for collector in ["Serial", "Parallel", "G1"] {
        let mut command = Command::new("java");
        command.args([&format!("-XX:+Use{collector}GC"), "-Xms128m", "-Xmx256m", "-XX:TieredStopAtLevel=1"]);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counters/Objects.java"));
        let mut workload = Workload::driven(command, &["fill 60000"]);
        // The first question starts the thread that answers.
        said(workload.pid());
        workload.say("hold");
        let (heaps, absent) = Known::of(workload.pid()).objects();
        let objects = heaps.first().unwrap_or_else(|| panic!("{collector}: {absent:?}"));
        let mut said: Vec<_> = said(workload.pid()).into_iter().collect();
        said.retain(|(name, _)| name != FILLERS[1]);
        said.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
        println!("{collector}: {} in use, {} of no type", objects.heap_bytes, objects.untyped_bytes);
        for (name, (bytes, count)) in said.into_iter().take(10) {
            let row = objects.rows.iter().find(|row| row.name == name);
            let row = row.unwrap_or_else(|| panic!("no {name} in {:?}", objects.rows));
            println!("  {name}: {bytes} said, {} ± {} read", row.bytes.0, row.error_bytes.0);
            let filled = if name == FILLERS[0] { objects.untyped_bytes.0 } else { 0 };
            let most = row.error_bytes.0.max(bytes / 50) + filled;
            assert!(row.bytes.0.abs_diff(bytes) <= most, "{collector} {name}: {bytes} said, {row:?}");
            let most = row.error_count.max(count / 50).max(u64::from(filled > 0) * 16);
            assert!(row.count.abs_diff(count) <= most, "{collector} {name}: {count} said, {row:?}");
        }
        assert_eq!(objects.pieces_read, objects.pieces, "{collector}");
        assert!(objects.untyped_bytes.0 <= objects.heap_bytes.0 / 10, "{collector}: {objects:?}");
    }
}
