//! Admission at the port: who has the token.
//!
//! A request and the file with the token -> the request goes on, or 401. A program sends the token as a bearer token;
//! the browser of a person asks for it as a password, whatever the user name. The file is read for each request, so that
//! it can be changed.

use std::{path::Path, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};

/// Shorter tokens are rejected, because they can be guessed.
const SHORTEST: usize = 16;
/// What makes a browser ask.
const ASK: &str = "Basic realm=\"memtrace: the token is the password\", charset=\"UTF-8\"";
/// What a browser shows when the person gives up.
const REFUSED: &str =
    "The password is the token of the memtrace daemon (--token-file); the user name is free.\n";

/// Admits requests with the bearer token.
pub(super) async fn of_program(
    State(file): State<Arc<Path>>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let given = bearer(request.headers()).ok_or(StatusCode::UNAUTHORIZED)?;
    if is_token(file, given).await? { Ok(next.run(request).await) } else { Err(StatusCode::UNAUTHORIZED) }
}

/// Admits requests with the token as password, or as bearer token.
pub(super) async fn of_person(
    State(file): State<Arc<Path>>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let given = bearer(request.headers()).or_else(|| password(request.headers()));
    if let Some(given) = given
        && is_token(file, given).await?
    {
        return Ok(next.run(request).await);
    }
    Ok((StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, ASK)], REFUSED).into_response())
}

fn bearer(headers: &HeaderMap) -> Option<Vec<u8>> {
    let given = headers.get(AUTHORIZATION)?.as_bytes().strip_prefix(b"Bearer ")?;
    Some(given.trim_ascii().to_vec())
}

fn password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let given = headers.get(AUTHORIZATION)?.as_bytes().strip_prefix(b"Basic ")?;
    let pair = base64(given.trim_ascii())?;
    let at = pair.iter().position(|byte| *byte == b':')?;
    pair.get(at + 1..).map(|password| password.trim_ascii().to_vec())
}

/// Decodes Base64 with padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let body = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut out = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in body {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    Some(out)
}

async fn is_token(file: Arc<Path>, given: Vec<u8>) -> Result<bool, StatusCode> {
    let expected = tokio::task::spawn_blocking(move || read(&file)).await;
    let expected = expected.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let expected = expected.map_err(|error| {
        tracing::warn!(%error, "rejected a request with a token");
        StatusCode::UNAUTHORIZED
    })?;
    Ok(is_same(&given, &expected))
}

/// Reads the token.
///
/// # Errors
/// When it cannot be read, or is not a valid token.
pub fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    use anyhow::Context as _;
    let text =
        std::fs::read(file).with_context(|| format!("failed to read the token in {}", file.display()))?;
    let token = text.trim_ascii().to_vec();
    if token.len() < SHORTEST {
        anyhow::bail!("the token in {} has less than {SHORTEST} bytes", file.display());
    }
    Ok(token)
}

/// Compares in constant time.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    given.len() == expected.len()
        && given.iter().zip(expected).fold(0, |differs, (given, expected)| differs | (given ^ expected)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_without_its_line_end_and_never_empty() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        assert!(read(&file).unwrap_err().to_string().contains(&file.display().to_string()));
        for (text, is_good) in [("", false), ("\n\n                 \n", false), ("0123456789abcdef\n", true)]
        {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read(&file).is_ok(), is_good, "{text:?}");
        }
        assert_eq!(read(&file).unwrap(), b"0123456789abcdef");
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(is_same(b"abc", b"abc"));
        assert!(!is_same(b"abc", b"abd") && !is_same(b"ab", b"abc") && !is_same(b"", b"abc"));
    }

    #[test]
    fn the_password_of_a_browser_is_what_follows_the_first_colon() {
        let given = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            (bearer(&headers), password(&headers))
        };
        let password = |value: &str| given(value).1.map(|given| String::from_utf8(given).unwrap());
        // As `printf 'me:a:b' | base64` has it.
        assert_eq!(password("Basic bWU6YTpi").as_deref(), Some("a:b"));
        assert_eq!(password("Basic OjAxMjM0NTY3ODlhYmNkZWY=").as_deref(), Some("0123456789abcdef"));
        assert_eq!(password("Basic eDoxMg==").as_deref(), Some("12"));
        for not in ["Basic", "Basic bWU=", "Basic b?U6", "basic bWU6YTpi", "Bearer bWU6YTpi", "Basic ===="] {
            assert_eq!(password(not), None, "{not}");
        }
        assert_eq!(given("Bearer  abc ").0.as_deref(), Some(b"abc".as_slice()));
    }
}
