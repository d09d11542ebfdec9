//! Runtimes that are not what they should be, and names that nobody should give.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    time::Duration,
};

use memtrace::container::name::Name;

use crate::{
    fixture::{PATIENCE, daemon::Place, eventually, mib},
    kills::{arguments, of, strings},
    runtime::Containerd,
};

/// What a socket does to who connects.
#[derive(Clone, Copy)]
enum Manner {
    Hangs,
    Garbage,
    /// A byte of garbage now and then, for as long as anybody listens.
    Slow,
}

fn listen(directory: &Path, name: &str, manner: Manner) -> PathBuf {
    let socket = directory.join(name);
    let listener = UnixListener::bind(&socket).unwrap();
    // It ends with the test's process.
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            match manner {
                Manner::Hangs => held.push(stream),
                Manner::Garbage => {
                    let _ = stream.read(&mut [0; 4096]);
                    let _ = stream.write_all(&[0xff; 4096]);
                }
                Manner::Slow => {
                    std::thread::spawn(move || {
                        while stream.write_all(&[0]).is_ok() {
                            std::thread::sleep(Duration::from_millis(200));
                        }
                    });
                }
            }
        }
    });
    socket
}

#[test]
fn runtimes_that_hang_or_talk_nonsense_do_not_keep_names_from_a_good_one() {
    let containerd = Containerd::start();
    let place = Place::new();
    let sockets = tempfile::tempdir().unwrap();
    let mut arguments = arguments(&containerd);
    for (name, manner) in [("hangs", Manner::Hangs), ("garbage", Manner::Garbage), ("slow", Manner::Slow)] {
        let socket = listen(sockets.path(), name, manner);
        arguments.extend(["--cri-socket".to_owned(), socket.display().to_string()]);
    }
    arguments.extend(["--cri-socket".to_owned(), sockets.path().join("absent").display().to_string()]);
    // Docker's, where the daemon looks for it.
    listen(&containerd.root().join("run"), "docker.sock", Manner::Hangs);
    let daemon = place.start(&strings(&arguments));
    let pod = containerd.pod("/burstable", "cart-6", None);
    let container = pod.run("web", "sleep 1000", mib(48));
    eventually("CRI's word", PATIENCE, || {
        let rows = place.top().containers;
        let name = rows.into_iter().find(|row| row.cgroup == container.cgroup)?.name?;
        // Only CRI has it.
        (name.label().as_deref() == Some("shop/cart-6/web") && name.restart == Some(0)).then_some(())
    });
    // Each is told of in the log, and once.
    eventually("the log says who does not answer", PATIENCE, || {
        let log = daemon.log();
        let told = |name: &str| {
            let socket = sockets.path().join(name).display().to_string();
            log.lines().filter(|line| line.contains(&socket) && line.contains("does not answer")).count()
        };
        ["hangs", "garbage", "slow"].iter().all(|name| told(name) == 1).then_some(())
    });
    let lost = daemon.tracer().losses.into_iter().filter(|loss| loss.name != "throttled");
    assert_eq!(lost.collect::<Vec<_>>(), []);
}

#[test]
fn a_name_of_four_kilobytes_and_any_characters_is_escaped_and_cut() {
    let containerd = Containerd::start();
    let place = Place::new();
    let arguments = arguments(&containerd);
    let daemon = place.start(&strings(&arguments));
    // As long as this runtime takes a label, key and value together.
    let begin = "a\u{1b}[2J\n\u{202e}\\\"é";
    let longest = format!("{begin}{}", "x".repeat(4096 - "io.kubernetes.pod.namespace".len() - begin.len()));
    let pod = containerd.pod("", &longest, None);
    let container = pod.run("web", "tail /dev/zero", mib(16));
    let record = eventually("the kill is stored", PATIENCE, || of(&place, &container.cgroup).pop());
    let Name { pod: name, pod_uid, container: own, .. } = record.circumstances.container.unwrap();
    let name = name.unwrap();
    assert!(name.starts_with("a\\u{1b}[2J\\u{a}\\u{202e}\\\\\"éxxx"), "{name}");
    assert_eq!((name.chars().count(), name.chars().next_back()), (512, Some('…')));
    assert_eq!((pod_uid.as_deref(), own.as_deref()), (Some(pod.uid.as_str()), Some("web")));
    let log = daemon.log();
    assert!(!log.contains('\u{1b}') && !log.contains('\u{202e}'), "{log}");
}
