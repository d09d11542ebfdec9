//! The JSON of published values, made once for all clients.
//!
//! A published value -> bytes, shared by all responses. Without this, a hundred clients would cause a hundred copies,
//! and each slow reader would hold one.

use std::sync::{Arc, Weak};

use axum::http::StatusCode;
use hyper::body::Bytes;
use tokio::sync::Mutex;

/// The bytes made of the latest `T`.
pub struct Cache<T> {
    latest: Mutex<Option<(Weak<T>, Bytes)>>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { latest: Mutex::new(None) }
    }
}

impl<T: Send + Sync + 'static> Cache<T> {
    /// The cached bytes of this value, or those that `make` returns; concurrent requests wait for the same result.
    /// `make` may block.
    pub async fn get(
        &self,
        of: &Arc<T>,
        make: impl FnOnce(Arc<T>) -> Result<Vec<u8>, StatusCode> + Send + 'static,
    ) -> Result<Bytes, StatusCode> {
        let mut latest = self.latest.lock().await;
        // The weak reference keeps the address from being reused.
        if let Some((known, bytes)) = &*latest
            && known.as_ptr() == Arc::as_ptr(of)
        {
            return Ok(bytes.clone());
        }
        let source = Arc::clone(of);
        let made = tokio::task::spawn_blocking(move || make(source)).await;
        let bytes = Bytes::from(made.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)??);
        *latest = Some((Arc::downgrade(of), bytes.clone()));
        Ok(bytes)
    }

    /// Frees the bytes.
    pub async fn forget(&self) {
        *self.latest.lock().await = None;
    }

    /// Frees the bytes unless they were made of this value.
    pub async fn forget_all_but(&self, newest: &Arc<T>) {
        let mut latest = self.latest.lock().await;
        if latest.as_ref().is_some_and(|(known, _)| known.as_ptr() != Arc::as_ptr(newest)) {
            *latest = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Cache, StatusCode};

    #[tokio::test]
    async fn it_is_made_once_for_each() {
        let cache = Cache::default();
        let (first, second) = (Arc::new(1_u8), Arc::new(1_u8));
        let made = |of: Arc<u8>| Ok(vec![*of]);
        assert_eq!(cache.get(&first, made).await.unwrap(), [1].as_slice());
        let not = |_| Err(StatusCode::IM_A_TEAPOT);
        assert_eq!(cache.get(&first, not).await.unwrap(), [1].as_slice());
        assert_eq!(cache.get(&second, not).await, Err(StatusCode::IM_A_TEAPOT), "equal is not the same");
        assert_eq!(cache.get(&first, not).await.unwrap(), [1].as_slice(), "a failure is not kept");
        cache.forget_all_but(&first).await;
        assert_eq!(cache.get(&first, not).await.unwrap(), [1].as_slice(), "it is the newest");
        cache.forget_all_but(&second).await;
        assert!(cache.get(&first, not).await.is_err());
        cache.get(&first, made).await.unwrap();
        cache.forget().await;
        assert!(cache.get(&first, not).await.is_err());
    }
}
