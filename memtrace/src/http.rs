//! One HTTP request and its answer: the client of the daemon, of Docker and of the kubelet.
//!
//! A unix socket, or an address with or without TLS -> the answer to a GET. Bounds size where a body is read whole, and
//! time by [`in_time`]. Must not know what is asked for.

use std::{io, path::Path, sync::Arc, time::Duration};

use anyhow::{anyhow, ensure};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::handshake,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that nothing was asked on yet.
pub struct Connection(Box<dyn Stream>);

impl Connection {
    /// To a socket of the file system.
    ///
    /// # Errors
    /// When nobody listens there, or this process may not ask.
    pub async fn unix(socket: &Path) -> io::Result<Self> {
        Ok(Self(Box::new(UnixStream::connect(socket).await?)))
    }

    /// To a port.
    ///
    /// # Errors
    /// When nobody listens there, or the host has no address.
    pub async fn tcp(host: &str, port: u16) -> io::Result<Self> {
        Ok(Self(Box::new(TcpStream::connect((host, port)).await?)))
    }

    /// To a port whose peer has shown a certificate that `config` trusts.
    ///
    /// # Errors
    /// Likewise, and when it has not.
    pub async fn tls(host: &str, port: u16, config: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TcpStream::connect((host, port)).await?;
        Ok(Self(Box::new(TlsConnector::from(config).connect(name, stream).await?)))
    }

    /// Asks for `path`, with a bearer token if there is one. The answer's body comes as it is read.
    ///
    /// # Errors
    /// When the connection fails, or the path or the token cannot stand in a request.
    pub async fn get(
        self,
        host: &str,
        path: &str,
        token: Option<&str>,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::get(path).header("host", host);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new())?;
        let (mut sender, connection) = handshake(TokioIo::new(self.0)).await?;
        // Its error shows in the answer as well.
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
    }
}

/// The body of an answer, whole.
///
/// # Errors
/// When the connection fails, or it has more than `largest` bytes.
pub async fn body(answer: Response<Incoming>, largest: usize) -> anyhow::Result<Bytes> {
    let body = Limited::new(answer.into_body(), largest).collect().await;
    Ok(body.map_err(|error| anyhow!("{error}"))?.to_bytes())
}

/// The body of a 200.
///
/// # Errors
/// Likewise, and when the answer is another one.
pub async fn body_of_ok(answer: Response<Incoming>, largest: usize) -> anyhow::Result<Bytes> {
    ensure!(answer.status() == StatusCode::OK, "it answered {}", answer.status());
    body(answer, largest).await
}

/// What an exchange gave, where it does not take longer than it may.
///
/// # Errors
/// Its own, and when it takes longer.
pub async fn in_time<T>(
    patience: Duration,
    exchange: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(patience, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(anyhow!("no answer in {patience:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::{Connection, body_of_ok, in_time};

    /// What is asked of a server that gives this answer, and what comes of it.
    async fn exchange(answer: &'static str, token: Option<&str>) -> (String, anyhow::Result<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let read = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked[..read].to_vec()).unwrap()
        });
        let connection = Connection::tcp("127.0.0.1", port).await.unwrap();
        let body = async { body_of_ok(connection.get("here", "/x", token).await?, 8).await };
        let body = body.await.map(|body| body.to_vec());
        (asked.await.unwrap(), body)
    }

    #[tokio::test]
    async fn the_body_of_a_200_that_is_not_too_long() {
        let (asked, body) = exchange("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", None).await;
        assert_eq!(body.unwrap(), b"ok");
        assert!(asked.starts_with("GET /x HTTP/1.1\r\nhost: here\r\n"), "{asked}");
        assert!(!asked.contains("authorization"), "{asked}");
        let (_, body) = exchange("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789", None).await;
        assert!(body.is_err(), "it has nine bytes");
        let (asked, body) = exchange("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", Some("t")).await;
        assert_eq!(body.unwrap_err().to_string(), "it answered 403 Forbidden");
        assert!(asked.contains("authorization: Bearer t\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn who_does_not_answer_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = in_time(Duration::from_millis(50), async move {
            Connection::tcp("127.0.0.1", port).await?.get("here", "/", None).await
        });
        assert_eq!(answer.await.unwrap_err().to_string(), "no answer in 50ms");
    }
}
