//! Sealed recordings: encrypted with a key of the account's, block for block.
//!
//! A key file holds one line of hexadecimal digits: 64 for AES-256-GCM, 32 for SM4-GCM. Each recording has a key of its own:
//! HMAC-SHA256 under the account's key over the text `umbra recording ` and the recording's id; of that SM4 takes the first
//! 16 bytes. A block's bytes in the file are what GCM makes of its audio with the `nonce` of its line (the block's number in
//! four bytes, big-endian, and eight of chance: a block that is written again after a crash has another one), followed by
//! the 16 bytes of its tag. Beside the audio the tag covers the digits of the line before and what the block's own line says
//! before `,"audio":`. The last line has a seal over nothing but the digits of the line before and what it says before
//! `,"seal":`: the nonce's 24 digits and the tag's 32. So who hasn't the key can't make a chain anew.
//!
//! SM4 comes from RustCrypto's `sm4` and goes through the same construction as AES; the vector of RFC 8998 §A.1 is a test.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U12;
use aes_gcm::{Aes256Gcm, AesGcm, KeyInit as _};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use sm4::Sm4;
use zeroize::Zeroizing;

use super::chain::{Cipher, Head, Nonce, Sha, account_name};
use crate::base::id::Id;
use crate::base::text;

/// Bytes of a tag: a sealed block is so much longer than its audio.
pub const TAG_BYTES: usize = 16;
/// What stands before the seal of the last line.
pub(super) const BEFORE_MAC: &str = ",\"seal\":\"";
/// What a recording's own key is made of beside its id.
const PURPOSE: &[u8] = b"umbra recording ";
/// And a key's print.
const PRINT_PURPOSE: &[u8] = b"umbra key";
/// Bytes of a key's print.
const KEY_PRINT_BYTES: usize = 8;
/// Bytes of a key file that are read: the digits and the end of the line.
const KEY_FILE_BYTES_MAX: u64 = 128;

pub(super) type Sm4Gcm = AesGcm<Sm4, U12>;

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// Its file can't be read.
    #[error("the key file can't be read: {0}: let the server's user read it")]
    Unreadable(#[source] io::Error),
    /// Others can read it too.
    #[error("others than its owner and group can read the key file: chmod 640 it")]
    Open,
    /// It holds something else.
    #[error("the key file must hold {0} hexadecimal digits and nothing else: openssl rand -hex {half} > FILE", half = .0 / 2)]
    Digits(usize),
    /// There is nothing to do with a key.
    #[error("there is no key without a cipher: set aes-256-gcm or sm4-gcm")]
    NoCipher,
}

/// What tells a key from another one of that name, and says nothing else of it: the first bytes of an HMAC-SHA256 under it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "String")]
pub struct KeyPrint([u8; KEY_PRINT_BYTES]);

impl From<KeyPrint> for String {
    fn from(print: KeyPrint) -> Self {
        text::lower_hex(&print.0)
    }
}

impl TryFrom<Box<str>> for KeyPrint {
    type Error = &'static str;

    fn try_from(digits: Box<str>) -> Result<Self, Self::Error> {
        let bytes = text::unhex(digits.as_bytes());
        bytes.map(Self).ok_or("a key's print has 16 hexadecimal digits")
    }
}

/// A key of an account's. Its bytes are overwritten when it is dropped, and no text shows them.
#[derive(Clone)]
pub struct Key {
    name: Box<str>,
    cipher: Cipher,
    print: KeyPrint,
    bytes: Arc<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Key {
    /// Says its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, …)", self.name)
    }
}

impl Key {
    /// Reads the key of that name from its file.
    ///
    /// # Errors
    /// [`BadKey`]; it says nothing of what the file holds.
    pub fn read(name: &str, cipher: Cipher, file: &Path) -> Result<Self, BadKey> {
        use std::io::Read as _;
        let file = std::fs::File::open(file).map_err(BadKey::Unreadable)?;
        let mode = file.metadata().map_err(BadKey::Unreadable)?.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(BadKey::Open);
        }
        // As long as it may get, so that no copy of it is left behind.
        let mut digits = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX as usize + 1));
        file.take(KEY_FILE_BYTES_MAX)
            .read_to_end(&mut digits)
            .map_err(BadKey::Unreadable)?;
        Self::of_digits(name, cipher, digits.trim_ascii())
    }

    /// The key with these hexadecimal digits.
    ///
    /// # Errors
    /// [`BadKey`]
    pub fn of_digits(name: &str, cipher: Cipher, digits: &[u8]) -> Result<Self, BadKey> {
        let mut digits = Zeroizing::new(digits.to_vec());
        digits.make_ascii_lowercase();
        let bytes = match cipher {
            Cipher::None => return Err(BadKey::NoCipher),
            Cipher::Aes256Gcm => text::unhex::<32>(&digits)
                .map(|key| Zeroizing::new(key).to_vec())
                .ok_or(BadKey::Digits(64))?,
            Cipher::Sm4Gcm => text::unhex::<16>(&digits)
                .map(|key| Zeroizing::new(key).to_vec())
                .ok_or(BadKey::Digits(32))?,
        };
        let print = mac(&bytes, &[PRINT_PURPOSE]);
        let print = print.first_chunk().copied().unwrap_or_default();
        Ok(Self {
            name: account_name(name),
            cipher,
            print: KeyPrint(print),
            bytes: Arc::new(Zeroizing::new(bytes)),
        })
    }

    /// What chains call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is a key for.
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Which of the keys of its name it is.
    pub const fn print(&self) -> KeyPrint {
        self.print
    }

    /// What seals this recording, and opens it.
    pub(super) fn seal(&self, recording: Id) -> Seal {
        let own = mac(&self.bytes, &[PURPOSE, &recording.letters()]);
        match self.cipher {
            Cipher::Sm4Gcm => {
                let half: &[u8; 16] = own.first_chunk().expect("half of 32 bytes");
                Seal::Sm4(Box::new(Sm4Gcm::new(half.into())))
            }
            // There is no key without a cipher.
            Cipher::Aes256Gcm | Cipher::None => Seal::Aes(Box::new(Aes256Gcm::new((&*own).into()))),
        }
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut mac =
        <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// The accounts' keys by what chains call them: those in use, and earlier ones for what was sealed with them.
#[derive(Clone, Debug, Default)]
pub struct Keys(BTreeMap<Box<str>, Vec<Key>>);

impl Keys {
    /// Adds a key.
    pub fn add(&mut self, key: Key) {
        self.0.entry(key.name.clone()).or_default().push(key);
    }

    /// The key that a recording with this first line is sealed with, if it is sealed and the key is here.
    pub(super) fn of(&self, head: &Head) -> Option<&Key> {
        let keys = self.0.get(head.key.as_deref()?)?;
        keys.iter()
            .find(|key| key.cipher == head.sealed && Some(key.print) == head.key_print)
    }
}

/// What seals one recording.
pub(super) enum Seal {
    Aes(Box<Aes256Gcm>),
    Sm4(Box<Sm4Gcm>),
}

impl Seal {
    /// Encrypts the bytes and adds their tag, which covers `before` and `front` too.
    pub(super) fn close(
        &self,
        nonce: Nonce,
        before: Sha,
        front: &str,
        bytes: &mut Vec<u8>,
    ) -> io::Result<()> {
        let covered = format!("{before}{front}");
        let (nonce, covered) = (&nonce.0.into(), covered.as_bytes());
        let tag = match self {
            Self::Aes(gcm) => gcm.encrypt_inout_detached(nonce, covered, bytes.as_mut_slice().into()),
            Self::Sm4(gcm) => gcm.encrypt_inout_detached(nonce, covered, bytes.as_mut_slice().into()),
        };
        bytes.extend_from_slice(&tag.map_err(|_| io::Error::other("a block is too long to be sealed"))?);
        Ok(())
    }

    /// Takes the tag off and decrypts; `None` if that isn't what was sealed.
    pub(super) fn open(&self, nonce: Nonce, before: Sha, front: &str, bytes: &mut Vec<u8>) -> Option<()> {
        let covered = format!("{before}{front}");
        let (nonce, covered) = (&nonce.0.into(), covered.as_bytes());
        let tag: [u8; TAG_BYTES] = *bytes.last_chunk()?;
        bytes.truncate(bytes.len() - TAG_BYTES);
        let body = bytes.as_mut_slice().into();
        match self {
            Self::Aes(gcm) => gcm.decrypt_inout_detached(nonce, covered, body, &tag.into()).ok(),
            Self::Sm4(gcm) => gcm.decrypt_inout_detached(nonce, covered, body, &tag.into()).ok(),
        }
    }
}

/// A nonce for the block of that number: no other one that is ever sealed with the same key has it.
pub(super) fn nonce(block: u64) -> io::Result<Nonce> {
    let mut bytes = [0; 12];
    let number = u32::try_from(block).map_err(io::Error::other)?;
    let (head, chance) = bytes.split_at_mut(4);
    head.copy_from_slice(&number.to_be_bytes());
    getrandom::fill(chance)
        .map_err(|error| io::Error::other(format!("the system gives no randomness: {error}")))?;
    Ok(Nonce(bytes))
}

/// The seal of the last line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mac {
    nonce: Nonce,
    tag: [u8; TAG_BYTES],
}

impl Mac {
    /// Over the digits of the line before and what the last line says.
    pub(super) fn make(seal: &Seal, before: Sha, front: &str) -> io::Result<Self> {
        let nonce = nonce(0)?;
        let mut tag = Vec::with_capacity(TAG_BYTES);
        seal.close(nonce, before, front, &mut tag)?;
        let tag = tag.try_into().map_err(|_| io::Error::other("no tag"))?;
        Ok(Self { nonce, tag })
    }

    /// Whether it is over these.
    pub(super) fn is_over(&self, seal: &Seal, before: Sha, front: &str) -> bool {
        seal.open(self.nonce, before, front, &mut self.tag.to_vec())
            .is_some()
    }

    /// As [`Mac`]'s text is.
    pub(super) fn read(digits: &str) -> Option<Self> {
        let (nonce, tag) = digits.as_bytes().split_at_checked(24)?;
        Some(Self {
            nonce: Nonce(text::unhex(nonce)?),
            tag: text::unhex(tag)?,
        })
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::lower_hex(&self.nonce.0))?;
        f.write_str(&text::lower_hex(&self.tag))
    }
}
