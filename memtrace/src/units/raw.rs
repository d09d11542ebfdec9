//! Arbitrary bytes as JSON text, for `#[serde(with)]`: each byte becomes the character with its number.
//!
//! Paths and names of the kernel are bytes, and recordings must restore them exactly.

use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

/// To text.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    text(bytes.as_ref()).serialize(serializer)
}

/// From text.
///
/// # Errors
/// When a character does not stand for a byte.
pub fn deserialize<'de, D: Deserializer<'de>, T: From<Vec<u8>>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    bytes(&text).map(T::from).ok_or_else(|| D::Error::custom("a character that stands for no byte"))
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

/// The same for optional values.
pub mod option {
    use super::*;

    /// To text.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(
        bytes: &Option<impl AsRef<[u8]>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| text(bytes.as_ref())).serialize(serializer)
    }

    /// From text.
    ///
    /// # Errors
    /// When a character does not stand for a byte.
    pub fn deserialize<'de, D: Deserializer<'de>, T: From<Vec<u8>>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let bytes = bytes(&text).ok_or_else(|| D::Error::custom("a character that stands for no byte"))?;
        Ok(Some(T::from(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Held(#[serde(with = "super")] Vec<u8>, #[serde(with = "super::option")] Option<Vec<u8>>);

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        for held in [Held(all.clone(), Some(all)), Held(Vec::new(), None)] {
            let json = serde_json::to_string(&held).unwrap();
            assert_eq!(serde_json::from_str::<Held>(&json).unwrap(), held);
        }
        assert!(serde_json::from_str::<Held>("[\"\u{100}\", null]").is_err());
    }
}
