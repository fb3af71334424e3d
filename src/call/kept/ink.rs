//! Writing structs as postcard does, byte for byte, for a part of the work: nothing can go wrong here, and a compiler
//! that knows this leaves out a check behind every field. Every call is written twice on its way.

use std::fmt;

use serde::Serialize;
use serde::ser::{
    self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

/// Adds what postcard would make of it.
pub(in crate::call) fn write(out: &mut Vec<u8>, what: &impl Serialize) {
    match what.serialize(&mut Ink(out)) {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

/// Bytes are put behind those that are there.
struct Ink<'v>(&'v mut Vec<u8>);

/// There is nothing that a Vec doesn't take.
#[derive(Debug)]
enum Never {}

type Written = Result<(), Never>;

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    /// Only types that aren't always writable refuse (a time before 1970, a path that is no text): none is in a state.
    fn custom<T: fmt::Display>(refusal: T) -> Self {
        unreachable!("{refusal}")
    }
}

impl Ink<'_> {
    /// Seven bits a byte, the low ones first; the high bit says that more follow.
    #[inline]
    fn number(&mut self, mut number: u64) -> Written {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        Ok(())
    }

    fn long_number(&mut self, mut number: u128) -> Written {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        Ok(())
    }

    /// The sign goes to the lowest bit, so that small ones stay short.
    #[inline]
    fn signed(&mut self, number: i64) -> Written {
        self.number(((number << 1) ^ (number >> 63)) as u64)
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) -> Written {
        let Ok(()) = self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl<'v> ser::Serializer for &mut Ink<'v> {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, it: bool) -> Written {
        self.serialize_u8(it.into())
    }

    #[inline]
    fn serialize_i8(self, number: i8) -> Written {
        self.serialize_u8(number as u8)
    }

    #[inline]
    fn serialize_i16(self, number: i16) -> Written {
        self.signed(number.into())
    }

    #[inline]
    fn serialize_i32(self, number: i32) -> Written {
        self.signed(number.into())
    }

    #[inline]
    fn serialize_i64(self, number: i64) -> Written {
        self.signed(number)
    }

    fn serialize_i128(self, number: i128) -> Written {
        self.long_number(((number << 1) ^ (number >> 127)) as u128)
    }

    #[inline]
    fn serialize_u8(self, number: u8) -> Written {
        self.0.push(number);
        Ok(())
    }

    #[inline]
    fn serialize_u16(self, number: u16) -> Written {
        self.number(number.into())
    }

    #[inline]
    fn serialize_u32(self, number: u32) -> Written {
        self.number(number.into())
    }

    #[inline]
    fn serialize_u64(self, number: u64) -> Written {
        self.number(number)
    }

    fn serialize_u128(self, number: u128) -> Written {
        self.long_number(number)
    }

    fn serialize_f32(self, number: f32) -> Written {
        self.0.extend_from_slice(&number.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_f64(self, number: f64) -> Written {
        self.0.extend_from_slice(&number.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, c: char) -> Written {
        self.bytes(c.encode_utf8(&mut [0; 4]).as_bytes())
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Written {
        self.bytes(text.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Written {
        self.bytes(bytes)
    }

    #[inline]
    fn serialize_none(self) -> Written {
        self.serialize_u8(0)
    }

    #[inline]
    fn serialize_some<T: ?Sized + Serialize>(self, it: &T) -> Written {
        self.0.push(1);
        it.serialize(self)
    }

    fn serialize_unit(self) -> Written {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Written {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, place: u32, _: &'static str) -> Written {
        self.number(place.into())
    }

    #[inline]
    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, it: &T) -> Written {
        it.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        place: u32,
        _: &'static str,
        it: &T,
    ) -> Written {
        let Ok(()) = self.number(place.into());
        it.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Never> {
        let len = len.expect("no list of a state is counted only by going through it");
        let Ok(()) = self.number(len as u64);
        Ok(self)
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        place: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Never> {
        let Ok(()) = self.number(place.into());
        Ok(self)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, Never> {
        self.serialize_seq(len)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        place: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Never> {
        let Ok(()) = self.number(place.into());
        Ok(self)
    }

    fn collect_str<T: ?Sized + fmt::Display>(self, it: &T) -> Written {
        self.bytes(it.to_string().as_bytes())
    }
}

/// What is made of parts is nothing but its parts.
macro_rules! parts {
    ($($of:ident $part:ident),*) => {
        $(impl $of for &mut Ink<'_> {
            type Ok = ();
            type Error = Never;

            #[inline]
            fn $part<T: ?Sized + Serialize>(&mut self, it: &T) -> Written {
                it.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Written {
                Ok(())
            }
        })*
    };
}

/// The same where parts have names, which aren't written.
macro_rules! named_parts {
    ($($of:ident),*) => {
        $(impl $of for &mut Ink<'_> {
            type Ok = ();
            type Error = Never;

            #[inline]
            fn serialize_field<T: ?Sized + Serialize>(&mut self, _: &'static str, it: &T) -> Written {
                it.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Written {
                Ok(())
            }
        })*
    };
}

parts!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);
named_parts!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for &mut Ink<'_> {
    type Ok = ();
    type Error = Never;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Written {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Written {
        value.serialize(&mut **self)
    }

    fn end(self) -> Written {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv6Addr, SocketAddr};

    use super::*;

    #[derive(Serialize)]
    struct Newtype(u32);

    #[derive(Serialize)]
    struct Pair(i16, String);

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    enum Kinds {
        Nothing,
        One(u64),
        Two(i8, char),
        Named { byte: u8, text: &'static str },
    }

    #[derive(Serialize)]
    struct Everything<'a> {
        flags: (bool, bool),
        small: (u8, i8, u16, i16),
        large: (u32, i32, u64, i64, usize, u128, i128),
        floats: (f32, f64),
        options: [Option<i32>; 2],
        newtype: Newtype,
        pair: Pair,
        unit: (Unit, ()),
        kinds: Vec<Kinds>,
        map: BTreeMap<&'static str, u16>,
        addresses: (IpAddr, SocketAddr),
        bytes: super::super::form::Bytes<'a>,
    }

    fn assert_as_postcard(what: &impl Serialize) {
        let mut out = vec![0xEE];
        write(&mut out, what);
        let by_postcard = postcard::to_allocvec(what).expect("postcard takes it");
        assert_eq!(out.get(1..), Some(by_postcard.as_slice()));
    }

    #[test]
    fn all_that_can_be_written_is_written_as_postcard_writes_it() {
        for (number, sign) in (0..128)
            .map(|bits| (1_u128 << bits, -1))
            .chain([(0, 0), (u128::MAX, 1)])
        {
            let signed = (number as i128).wrapping_mul(sign);
            assert_as_postcard(&Everything {
                flags: (true, false),
                small: (number as u8, signed as i8, number as u16, signed as i16),
                large: (
                    number as u32,
                    signed as i32,
                    number as u64,
                    signed as i64,
                    number as usize,
                    number,
                    signed,
                ),
                floats: (signed as f32, number as f64),
                options: [None, Some(signed as i32)],
                newtype: Newtype(number as u32),
                pair: Pair(signed as i16, "李雷".repeat(number as usize % 100)),
                unit: (Unit, ()),
                kinds: vec![
                    Kinds::Nothing,
                    Kinds::One(number as u64),
                    Kinds::Two(signed as i8, '😀'),
                    Kinds::Named { byte: 7, text: "" },
                ],
                map: BTreeMap::from([("a", 1), ("b", number as u16)]),
                addresses: (
                    IpAddr::from([127, 0, 0, number as u8]),
                    SocketAddr::from((Ipv6Addr::LOCALHOST, number as u16)),
                ),
                bytes: super::super::form::Bytes(&[0x55; 200]),
            });
        }
    }
}
