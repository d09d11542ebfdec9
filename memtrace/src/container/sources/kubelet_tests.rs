//! Names from a kubelet's list; kubelets that hang, send garbage, refuse or are not trusted.

use std::fs;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::*;

/// From a kubelet 1.32, without most fields that memtrace does not read.
const PODS: &str = r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[
 {"metadata":{"name":"cart-0","namespace":"shop","uid":"d1b6a9c8-5a0e-4a7e-9a63-0a1b2c3d4e5f","labels":{"app":"cart"},
   "ownerReferences":[{"kind":"StatefulSet","name":"cart"}]},
  "spec":{"containers":[{"name":"redis","resources":{"limits":{"memory":"48Mi"}}}]},
  "status":{"phase":"Running",
   "initContainerStatuses":[{"name":"init","containerID":"containerd://11","image":"busybox:1","restartCount":0}],
   "containerStatuses":[{"name":"redis","containerID":"containerd://2a5d","image":"docker.io/library/redis:7",
     "restartCount":3,"lastState":{"terminated":{"exitCode":137,"reason":"OOMKilled"}},"ready":true},
    {"name":"waits","state":{"waiting":{"reason":"ContainerCreating"}}}]}},
 {"metadata":{"name":"etcd-n1","namespace":"kube-system","uid":"7260904bbd08e72e4dff95d9fccd2ee8",
   "annotations":{"kubernetes.io/config.source":"file"}},"status":{"phase":"Pending"}}]}"#;

#[test]
fn containers_of_all_kinds_and_pods_are_named() {
    let (containers, pods) = parse(PODS.as_bytes()).unwrap();
    let label = |named: &Named| (named.0.clone(), named.1.label().unwrap());
    assert_eq!(
        containers.iter().map(label).collect::<Vec<_>>(),
        [("2a5d".into(), "shop/cart-0/redis".into()), ("11".into(), "shop/cart-0/init".into())]
    );
    let redis = &containers[0].1;
    assert_eq!((redis.restart, redis.runtime.as_deref()), (Some(3), Some("containerd")));
    assert_eq!(redis.image.as_deref(), Some("docker.io/library/redis:7"));
    // A static pod that has not started.
    assert_eq!(label(&pods[1]), ("7260904bbd08e72e4dff95d9fccd2ee8".into(), "kube-system/etcd-n1".into()));
}

#[test]
fn what_is_no_list_of_pods_is_an_error_and_odd_names_are_escaped_and_cut() {
    for json in ["", "{\"items\":7}", "{\"items\":[{}]}", "Unauthorized"] {
        assert!(parse(json.as_bytes()).is_err(), "{json}");
    }
    assert_eq!(parse(br#"{"items":null}"#).unwrap(), (Vec::new(), Vec::new()));
    let odd = serde_json::json!({"items": [{"metadata": {"name": "a\u{1b}[2J", "uid": "x".repeat(4096)},
        "status": {"containerStatuses": [{"name": "c", "containerID": "no id"}]}}]});
    let (containers, pods) = parse(odd.to_string().as_bytes()).unwrap();
    assert_eq!((containers.len(), pods[0].1.pod.as_deref()), (0, Some("a\\u{1b}[2J")));
    assert!(pods[0].0.len() < 600);
}

#[test]
fn an_address_that_is_none_is_refused_at_once() {
    let at = |url: &str| Kubelet::new(Config { url: url.into(), ..config(0, None) });
    for url in ["", "127.0.0.1:10250", "ftp://x", "https://"] {
        assert!(at(url).is_err(), "{url}");
    }
    let six = at("https://[::1]").unwrap();
    assert_eq!((six.host.as_str(), six.port), ("::1", 10250));
    assert_eq!(at("http://n1").unwrap().port, 10255);
    let authority = Some("/does/not/exist".into());
    assert!(Kubelet::new(Config { authority, ..config(0, None) }).unwrap_err().contains("/does/not/exist"));
}

fn config(port: u16, token: Option<PathBuf>) -> Config {
    Config {
        url: format!("https://127.0.0.1:{port}"),
        token: token.unwrap_or_else(|| "/does/not/exist".into()),
        authority: None,
    }
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A kubelet that sends `answer` to requests whose head contains `wanted`, and 401 to others; with `None` it never
/// answers. Returns its port and certificate.
async fn serve(wanted: &'static str, answer: Option<Vec<u8>>) -> (u16, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            let Some(answer) = &answer else {
                held.push(stream);
                continue;
            };
            // A client that does not trust it closes the connection.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap_or_default();
            let is_wanted = String::from_utf8_lossy(&head[..read]).contains(wanted);
            let refused = http("401 Unauthorized", "Unauthorized");
            let _ = stream.write_all(if is_wanted { answer } else { &refused }).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, cert.pem())
}

#[tokio::test]
async fn the_token_is_read_for_each_request() {
    let (port, _) = serve("authorization: Bearer second\r\n", Some(http("200 OK", PODS))).await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "first\n").unwrap();
    let kubelet = Kubelet::new(config(port, Some(token.clone()))).unwrap();
    assert!(kubelet.names().await.unwrap_err().contains("401"));
    fs::write(&token, "second\n").unwrap();
    let (containers, pods) = kubelet.names().await.unwrap();
    assert_eq!((containers.len(), pods.len()), (2, 2));
}

#[tokio::test]
async fn with_an_authority_no_other_kubelet_is_believed() {
    let (port, certificate) = serve("GET /pods", Some(http("200 OK", PODS))).await;
    let (other, _) = serve("GET /pods", Some(http("200 OK", PODS))).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.crt");
    fs::write(&file, certificate).unwrap();
    let at = |port| Kubelet::new(Config { authority: Some(file.clone()), ..config(port, None) }).unwrap();
    assert_eq!(at(port).names().await.unwrap().0.len(), 2);
    assert!(at(other).names().await.unwrap_err().contains("certificate"));
    fs::write(&file, "no certificate").unwrap();
    let authority = Some(file.clone());
    assert!(Kubelet::new(Config { authority, ..config(port, None) }).unwrap_err().contains("no certificate"));
}

#[tokio::test]
async fn one_that_hangs_is_left_and_nonsense_is_an_error() {
    let (port, _) = serve("", None).await;
    let kubelet = Kubelet::new(config(port, None)).unwrap();
    assert_eq!(kubelet.names().await.unwrap_err(), "no answer in 2s");
    for answer in [http("200 OK", "[7]"), http("403 Forbidden", "{}"), b"\x00\xff".to_vec()] {
        let (port, _) = serve("", Some(answer)).await;
        assert!(Kubelet::new(config(port, None)).unwrap().names().await.is_err());
    }
    // No server listens.
    assert!(Kubelet::new(config(1, None)).unwrap().names().await.is_err());
}

/// On one thread, where a blocking read would stop everything.
#[tokio::test]
async fn files_that_cannot_be_read_in_time_hold_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let (port, _) = serve("GET /pods", Some(http("200 OK", PODS))).await;
    let kubelet = Kubelet::new(config(port, Some(pipe.clone()))).unwrap();
    assert_eq!(kubelet.names().await.unwrap_err(), "no answer in 2s");
    let authority = Some(pipe.clone());
    let error = Kubelet::open(Config { authority, ..config(port, None) }).await.unwrap_err();
    assert_eq!(error, "failed to read its CA bundle within 2s");
    // Unblock the waiting threads.
    drop(fs::OpenOptions::new().write(true).open(&pipe).unwrap());
}

#[test]
fn what_is_too_long_is_no_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, " ".repeat(70_000)).unwrap();
    assert!(token(&file).unwrap_err().to_string().contains("too long"));
    fs::write(&file, " a\n").unwrap();
    assert_eq!(token(&file).unwrap().as_deref(), Some("a"));
    assert_eq!(token(&dir.path().join("absent")).unwrap(), None);
}
