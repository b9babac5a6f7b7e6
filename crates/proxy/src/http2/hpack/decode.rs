//! Header blocks of the other side.

use super::huffman;
use super::table::{OVERHEAD, Table};
use crate::http2::{MAX_FIELDS, MAX_LIST, MAX_TABLE};

/// So often as long as it may be, a list ends the connection instead of its request.
const FLOOD: usize = 8;

/// A block that cannot be decoded: the tables of both sides differ from now on, and the connection is over
/// (RFC 9113 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header block is broken: {0}")]
pub struct Undecodable(pub(crate) &'static str);

/// The fields of one block, in their order.
#[derive(Debug, Default)]
pub struct Fields {
    text: Vec<u8>,
    /// Of each field: where its name and where its value ends. It begins where the one before ends.
    ends: Vec<(u32, u32)>,
    size: usize,
}

impl Fields {
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(name, value)| {
            let (from, name, value) = (start, name as usize, value as usize);
            start = value;
            (&self.text[from..name], &self.text[name..value])
        })
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// There were more or longer ones than we keep.
    pub fn is_too_large(&self) -> bool {
        self.size > MAX_LIST
    }

    /// Bytes of all that came, with 32 for each field.
    pub fn size(&self) -> usize {
        self.size
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.size = 0;
    }

    /// Takes in what was appended to the text since the last field; what is too much goes again.
    fn close(&mut self, start: usize, name: usize) {
        self.count(self.text.len() - start);
        if self.is_too_large() {
            self.text.truncate(start);
        } else {
            self.ends.push((name as u32, self.text.len() as u32));
        }
    }

    fn count(&mut self, bytes: usize) {
        self.size += bytes + OVERHEAD;
        if self.ends.len() == MAX_FIELDS {
            self.size = self.size.max(MAX_LIST + 1);
        }
    }
}

/// What the other side's blocks are read with; one for each connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { table: Table::new(MAX_TABLE) }
    }
}

impl Decoder {
    /// Reads a whole block. The table follows also what of it is too much to keep.
    pub fn decode(&mut self, block: &[u8], fields: &mut Fields) -> Result<(), Undecodable> {
        fields.clear();
        let mut input = Input(block);
        let mut begun = false;
        while let Some(&first) = input.0.first() {
            match first {
                0x80.. => {
                    let index = input.integer(7)?;
                    let (name, value) = self.table.get(index).ok_or(UNKNOWN)?;
                    if fields.is_too_large() {
                        fields.count(name.len() + value.len());
                    } else {
                        let start = fields.text.len();
                        fields.text.extend_from_slice(name);
                        fields.text.extend_from_slice(value);
                        fields.close(start, start + name.len());
                    }
                }
                0x40.. => self.literal(&mut input, 6, true, fields)?,
                0x20.. => {
                    let max = input.integer(5)?;
                    if begun || max > MAX_TABLE {
                        return Err(Undecodable("a size of the table that it may not have"));
                    }
                    self.table.resize(max);
                    continue;
                }
                _ => self.literal(&mut input, 4, false, fields)?,
            }
            begun = true;
            if fields.size > FLOOD * MAX_LIST {
                return Err(Undecodable("far more fields than may be"));
            }
        }
        Ok(())
    }

    fn literal(
        &mut self,
        input: &mut Input<'_>,
        prefix: u32,
        kept: bool,
        fields: &mut Fields,
    ) -> Result<(), Undecodable> {
        let start = fields.text.len();
        match input.integer(prefix)? {
            0 => input.string(&mut fields.text)?,
            index => {
                let (name, _) = self.table.get(index).ok_or(UNKNOWN)?;
                fields.text.extend_from_slice(name);
            }
        }
        let name = fields.text.len();
        input.string(&mut fields.text)?;
        if kept {
            self.table.insert(&fields.text[start..], name - start);
        }
        fields.close(start, name);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }
}

const UNKNOWN: Undecodable = Undecodable("a field that is in no table");
const CUT: Undecodable = Undecodable("it is cut");

/// The rest of a block.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, Undecodable> {
        let (&first, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
        Ok(first)
    }

    /// RFC 7541 §5.1, in the last `prefix` bits of the next byte and in those after it. None that means anything is
    /// longer than a block.
    fn integer(&mut self, prefix: u32) -> Result<usize, Undecodable> {
        let most = (1usize << prefix) - 1;
        let mut value = usize::from(self.byte()?) & most;
        if value < most {
            return Ok(value);
        }
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Undecodable("a number that is too long"))
    }

    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Undecodable> {
        let coded = self.0.first().ok_or(CUT)? & 0x80 != 0;
        let length = self.integer(7)?;
        let (text, rest): (&'a [u8], _) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        if coded {
            return huffman::decode(text, out);
        }
        out.extend_from_slice(text);
        Ok(())
    }
}
