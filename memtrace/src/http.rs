//! One HTTP request and its response: the client for the daemon, Docker, the kubelet and collectors.
//!
//! A unix socket, or an address with or without TLS -> the response to a GET or POST. Bounds the size of a body that is read
//! whole, and the time by [`in_time`]. Must not interpret the contents.

mod address;
pub mod tls;

use std::{io, path::Path, sync::Arc, time::Duration};

use anyhow::{anyhow, ensure};
use http_body_util::{BodyExt as _, Full, Limited};
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

pub use self::address::Address;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection before its request.
pub struct Connection(Box<dyn Stream>);

impl Connection {
    /// Connects to a unix socket.
    ///
    /// # Errors
    /// When there is no listener, or this process may not connect.
    pub async fn unix(socket: &Path) -> io::Result<Self> {
        Ok(Self(Box::new(UnixStream::connect(socket).await?)))
    }

    /// Connects to a TCP port.
    ///
    /// # Errors
    /// When there is no listener, or the host has no address.
    pub async fn tcp(host: &str, port: u16) -> io::Result<Self> {
        Ok(Self(Box::new(TcpStream::connect((host, port)).await?)))
    }

    /// Connects to a TCP port by TLS; `config` decides which certificates are trusted.
    ///
    /// # Errors
    /// Like [`Self::tcp`], and when the certificate is not trusted.
    pub async fn tls(host: &str, port: u16, config: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TcpStream::connect((host, port)).await?;
        Ok(Self(Box::new(TlsConnector::from(config).connect(name, stream).await?)))
    }

    /// Sends a GET of `path`, with the bearer token if there is one. The body is streamed.
    ///
    /// # Errors
    /// When the connection fails, or the path or the token contains invalid characters.
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
        self.send(request.body(Full::default())?).await
    }

    /// Sends a POST of this body with these headers.
    ///
    /// # Errors
    /// When the connection fails, or the path or a header contains invalid characters.
    pub async fn post(
        self,
        host: &str,
        path: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let request = Request::post(path).header("host", host);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        self.send(request.body(Full::new(body))?).await
    }

    async fn send(self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        let (mut sender, connection) = handshake(TokioIo::new(self.0)).await?;
        // The response reports its error too.
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
    }
}

/// Reads the whole body of a response.
///
/// # Errors
/// When the connection fails, or the body has more than `largest` bytes.
pub async fn body(answer: Response<Incoming>, largest: usize) -> anyhow::Result<Bytes> {
    let body = Limited::new(answer.into_body(), largest).collect().await;
    Ok(body.map_err(|error| anyhow!("{error}"))?.to_bytes())
}

/// Reads the whole body of a response with status 200.
///
/// # Errors
/// Like [`body`], and for any other status.
pub async fn body_of_ok(answer: Response<Incoming>, largest: usize) -> anyhow::Result<Bytes> {
    ensure!(answer.status() == StatusCode::OK, "it answered {}", answer.status());
    body(answer, largest).await
}

/// Runs an exchange with a time limit.
///
/// # Errors
/// Those of the exchange, and when it takes too long.
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

    /// Runs a request against a server that sends `answer`. Returns the request and the result.
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
