//! What belongs to the streams of one connection. There are few, and each new one has the highest id so far.

#[derive(Debug)]
pub(crate) struct ById<T>(Vec<(u32, T)>);

impl<T> Default for ById<T> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<T> ById<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        let place = self.place(id).ok()?;
        Some(&self.0[place].1)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        let place = self.place(id).ok()?;
        Some(&mut self.0[place].1)
    }

    pub(crate) fn insert(&mut self, id: u32, value: T) -> &mut T {
        let place = match self.place(id) {
            Ok(place) => {
                self.0[place].1 = value;
                place
            }
            Err(place) => {
                self.0.insert(place, (id, value));
                place
            }
        };
        &mut self.0[place].1
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        let place = self.place(id).ok()?;
        Some(self.0.remove(place).1)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|&(id, _)| id)
    }

    fn place(&self, id: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |&(id, _)| id)
    }
}
