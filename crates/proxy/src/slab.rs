//! Storage with keys that carry a generation: a stale key finds nothing.

/// Names one entry; packs into 62 bits, so that an epoll token has two left for the kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

const GENERATION_MASK: u32 = (1 << 30) - 1;

impl Key {
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 & GENERATION_MASK }
    }
}

/// Set in the index of a key that is marked.
const MARK: u32 = 1 << 31;

impl Key {
    /// The same key for another kind of thing: storage that did not give it out does not know it.
    pub(crate) fn marked(self) -> Self {
        Self { index: self.index | MARK, ..self }
    }

    /// The key that was marked; `None` = this one was not.
    pub(crate) fn unmarked(self) -> Option<Self> {
        (self.index & MARK != 0).then_some(Self { index: self.index & !MARK, ..self })
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: vec![], free: vec![], len: 0 }
    }
}

impl<T> Slab<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes a slot and leaves it empty until [`Slab::fill`]; give it back by [`Slab::remove`] in any case.
    pub(crate) fn reserve(&mut self) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            (self.slots.len() - 1) as u32
        });
        self.len += 1;
        Key { index, generation: self.slots[index as usize].generation }
    }

    pub(crate) fn fill(&mut self, key: Key, value: T) {
        if let Some(slot) = self.slot(key) {
            slot.value = Some(value);
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slot(key)?.value.as_mut()
    }

    /// Empties the slot and ends the key's validity.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slot(key)?;
        slot.generation = slot.generation.wrapping_add(1) & GENERATION_MASK;
        let value = slot.value.take();
        self.free.push(key.index);
        self.len -= 1;
        value
    }

    /// The keys of all filled slots.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let filled = self.slots.iter().enumerate().filter(|(_, slot)| slot.value.is_some());
        filled.map(|(index, slot)| Key { index: index as u32, generation: slot.generation }).collect()
    }

    #[inline]
    fn slot(&mut self, key: Key) -> Option<&mut Slot<T>> {
        self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::default();
        let a = slab.reserve();
        assert!(slab.get_mut(a).is_none(), "reserved, not filled");
        slab.fill(a, 'a');
        assert_eq!(slab.get_mut(a), Some(&mut 'a'));
        assert_eq!(slab.remove(a), Some('a'));
        assert_eq!(slab.remove(a), None);
        let b = slab.reserve();
        slab.fill(b, 'b');
        assert_ne!(a, b);
        assert!(slab.get_mut(a).is_none());
        assert_eq!((slab.len(), slab.keys()), (1, vec![b]));
        assert_eq!(Key::from_bits(b.to_bits()), b);
        assert!(slab.get_mut(b.marked()).is_none());
        assert_eq!(Key::from_bits(b.marked().to_bits()).unmarked(), Some(b));
        assert_eq!(b.unmarked(), None);
    }
}
