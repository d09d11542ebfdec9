//! Names from a runtime's messages; runtimes that hang, send garbage or are missing.

use std::path::Path;

use messages::{ContainerMetadata, ImageSpec, PodSandboxMetadata};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
};

use super::*;

fn pair(key: &str, value: &[u8]) -> Pair {
    Pair { key: key.into(), value: value.to_vec() }
}

fn container() -> Container {
    Container {
        id: b"2a5d".to_vec(),
        metadata: Some(ContainerMetadata { name: b"redis".to_vec(), attempt: 2 }),
        image: Some(ImageSpec { image: b"sha256:77".to_vec() }),
        labels: vec![
            pair("io.kubernetes.pod.name", b"cart-0"),
            pair("io.kubernetes.pod.namespace", b"shop"),
            pair("io.kubernetes.pod.uid", b"d1b6"),
        ],
        annotations: Vec::new(),
    }
}

#[test]
fn a_container_is_named_by_its_labels() {
    let (id, name) = named(&container(), "containerd").unwrap();
    assert_eq!((id.as_str(), name.label().unwrap().as_str()), ("2a5d", "shop/cart-0/redis"));
    assert_eq!((name.restart, name.image, name.runtime.as_deref()), (Some(2), None, Some("containerd")));
    let counted =
        Container { annotations: vec![pair("io.kubernetes.container.restartCount", b"5")], ..container() };
    assert_eq!(named(&counted, "").unwrap().1.restart, Some(5));
}

#[test]
fn any_bytes_and_long_labels_are_escaped_and_cut() {
    let mut odd = container();
    odd.metadata = Some(ContainerMetadata { name: b"\xff\x1b[2J\n".to_vec(), attempt: 0 });
    odd.labels = vec![pair("io.kubernetes.pod.name", &[b'x'; 4096])];
    // Encoded and decoded: a name that is not UTF-8 must not make the list unreadable.
    let list = ListContainersResponse { containers: vec![odd, container()] };
    let list = ListContainersResponse::decode(list.encode_to_vec().as_slice()).unwrap();
    let names: Vec<_> = list.containers.iter().filter_map(|one| named(one, "x")).collect();
    assert_eq!(names[0].1.container.as_deref(), Some("\\xff\\u{1b}[2J\\u{a}"));
    assert!(names[0].1.pod.as_ref().unwrap().len() < 600);
    assert_eq!(names[1].1.container.as_deref(), Some("redis"));
}

#[test]
fn a_sandbox_names_its_pod_and_itself() {
    let metadata =
        PodSandboxMetadata { name: b"cart-0".to_vec(), uid: b"d1b6".to_vec(), namespace: b"shop".to_vec() };
    let sandbox = PodSandbox { id: b"5f".to_vec(), metadata: Some(metadata) };
    assert_eq!(pod(&sandbox, "cri-o").unwrap().1.label().unwrap(), "shop/cart-0");
    assert_eq!(sandbox_name(&sandbox, "cri-o").unwrap().1.label().unwrap(), "shop/cart-0/(sandbox)");
    assert_eq!(pod(&PodSandbox::default(), "cri-o"), None);
}

#[test]
fn an_end_is_one_only_when_the_container_has_exited() {
    let status = ContainerStatus {
        state: EXITED,
        finished_at: 1_764_000_000_000_000_000,
        exit_code: 137,
        reason: b"OOMKilled".to_vec(),
    };
    let ended = end(&status).unwrap();
    assert_eq!((ended.reason.as_deref(), ended.exit_code), (Some("OOMKilled"), 137));
    assert_eq!(ended.finished_at.unwrap().as_second(), 1_764_000_000);
    assert_eq!(end(&ContainerStatus { state: 1, ..status.clone() }), None);
    let unknown = ContainerStatus { finished_at: 0, reason: Vec::new(), ..status };
    assert_eq!(end(&unknown), Some(End { reason: None, exit_code: 137, finished_at: None }));
}

fn listen(dir: &Path, answer: Option<&'static [u8]>) -> PathBuf {
    let socket = dir.join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Some(answer) = answer {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(answer).await;
            } else {
                held.push(stream);
            }
        }
    });
    socket
}

#[tokio::test]
async fn a_runtime_that_is_not_there_or_talks_nonsense_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Cri::connect(&dir.path().join("absent")).await, Err(CriError::Connect(_))));
    let socket = listen(dir.path(), Some(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert!(Cri::connect(&socket).await.is_err());
}

#[tokio::test]
async fn a_runtime_that_hangs_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let socket = listen(dir.path(), None);
    let error = Cri::connect(&socket).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer to Version in 2s");
}
