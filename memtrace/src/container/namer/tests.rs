//! Names from a kubelet that first sends garbage, on a host without any runtime.

use std::{
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};

use super::*;
use crate::{cgroup::hierarchy::Version, container::sources::kubelet, health::Thread};

const PODS: &str = r#"{"items":[{"metadata":{"name":"cart-0","namespace":"shop","uid":"d1b6a9c8-5a0e-4a7e-9a63-0a1b2c3d4e5f"},
"status":{"containerStatuses":[{"name":"redis","containerID":"cri-o://@","restartCount":3}]}}]}"#;

#[tokio::test]
async fn the_kubelet_names_what_no_runtime_does_and_is_asked_again_when_it_fails() {
    let id = "a".repeat(64);
    let answer = PODS.replace("@", &id);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let body = if count.fetch_add(1, Ordering::Relaxed) == 0 { "garbage" } else { &answer };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + body).as_bytes()).await;
        }
    });
    let root = tempfile::tempdir().unwrap();
    let kubelet = kubelet::Config { url, token: root.path().join("token"), authority: None };
    let config = Config { host_root: root.path().into(), cri_sockets: Vec::new(), kubelet: Some(kubelet) };
    let beat = Beat::unwatched(Thread { name: "namer", is_vital: false, rounds: 1 });
    let namer = start(&config, None, 0, beat).unwrap();
    let path = format!("/kubepods/podd1b6a9c8-5a0e-4a7e-9a63-0a1b2c3d4e5f/crio-{id}");
    let begin = Instant::now();
    let name = loop {
        let name = namer.names.lock().of_path(path.as_bytes()).unwrap();
        if name.container.is_some() || begin.elapsed() > Duration::from_secs(120) {
            break name;
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(name.label().unwrap(), "shop/cart-0/redis");
    assert_eq!((name.restart, name.source.as_deref()), (Some(3), Some("kubelet")));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[test]
fn walks_take_a_small_part_of_the_time_however_often_they_are_asked_for() {
    let second = Duration::from_secs(1);
    assert_eq!(pause(Duration::from_millis(3)), second);
    assert_eq!(pause(second), 20 * second);
    assert_eq!(pause(100 * second), SWEEP);
}

/// A namer of this cgroup file system that runs no thread and asks nobody.
fn worker(hierarchy: Hierarchy) -> Worker {
    Worker {
        names: Names::default(),
        bundles: Bundles::new(Path::new("/nowhere")),
        hierarchy: Some(hierarchy),
        hierarchy_id: 1,
        wake: watch::channel(0).0,
        asked: mpsc::channel(1).0,
        waiting: VecDeque::new(),
    }
}

/// A container that makes such cgroups in a loop costs one walk, when the pause is over.
#[test]
fn cgroups_with_long_paths_are_found_by_the_next_sweep_and_cause_no_walk_each() {
    let root = tempfile::tempdir().unwrap();
    let part = "p".repeat(200);
    let path = format!("/{part}").repeat(PATH_LEN / 200 + 1);
    let directory = root.path().join(&path[1..]);
    std::fs::create_dir_all(&directory).unwrap();
    let id = std::fs::metadata(&directory).unwrap().ino();
    let mount = root.path().to_owned();
    let whole = || b"/".to_vec();
    let mut worker = worker(Hierarchy { version: Version::V2, mount, root: whole(), namespace: whole() });
    let made = |path: &[u8]| Change::Made { hierarchy: 1, id, path: path.to_vec() };
    assert!(!worker.take(made(&path.as_bytes()[..PATH_LEN - 1])), "a sweep is due");
    assert_eq!(worker.names.lock().path(id), None, "nothing was walked");
    worker.sweep();
    assert_eq!(worker.names.lock().path(id), Some(path.as_bytes()));
    assert!(worker.take(made(b"/short")));
    assert_eq!(worker.names.lock().path(id), Some(&b"/short"[..]));
    assert!(!worker.take(Change::Missed));
}
