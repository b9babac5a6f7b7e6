//! Flavors and their profiles.

use octavia_model::{Flavor, FlavorId, FlavorProfile, FlavorProfileId};
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, QueryFilter};

use super::{Call, CatalogueError, ProfileChange, Table, Users, framed};
use crate::entity::{codec, flavor, flavor_profile, load_balancer};
use crate::{Duplicate, Store, StoreError};

/// What becomes of a flavor; `None` leaves an attribute as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlavorChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub enabled: Option<bool>,
}

impl Table for flavor::Entity {
    const KEY: Self::Column = flavor::Column::Id;

    fn users(key: &str) -> Users {
        Users::load_balancers(load_balancer::Column::FlavorId, key)
    }
}

impl Table for flavor_profile::Entity {
    const KEY: Self::Column = flavor_profile::Column::Id;

    fn users(key: &str) -> Users {
        Users::Flavors(flavor::Entity::find().filter(flavor::Column::FlavorProfileId.eq(key)))
    }
}

impl Store {
    /// `NoProfile` when there is none of this id; a name that another flavor has is a duplicate.
    pub async fn flavor_insert(&self, flavor: &Flavor) -> Result<(), CatalogueError> {
        let call = Call::of("flavor_insert");
        framed!(
            self,
            call,
            self.entry_insert::<flavor::Entity, flavor::ActiveModel>(flavor.into(), Duplicate::FlavorName)
        )
    }

    pub async fn flavor_fetch(&self, id: FlavorId) -> Result<Option<Flavor>, StoreError> {
        framed!(self, Call::of("flavor_fetch"), self.entry_fetch::<flavor::Entity, _>(codec::id(id)))
    }

    /// Possible while load balancers are of it.
    pub async fn flavor_update(&self, id: FlavorId, change: &FlavorChange) -> Result<Flavor, CatalogueError> {
        let row = flavor::ActiveModel {
            name: set(change.name.as_ref()),
            description: set(change.description.as_ref()),
            enabled: set(change.enabled.as_ref()),
            ..Default::default()
        };
        let (call, key) = (Call::of("flavor_update"), codec::id(id));
        let unique = Duplicate::FlavorName;
        framed!(self, call, self.entry_update::<flavor::Entity, _, Flavor>(&key, row.clone(), false, unique))
    }

    /// Refused while a load balancer that is not `DELETED` is of it.
    pub async fn flavor_delete(&self, id: FlavorId) -> Result<(), CatalogueError> {
        let key = codec::id(id);
        framed!(self, Call::of("flavor_delete"), self.entry_delete::<flavor::Entity>(&key))
    }

    pub async fn flavor_profile_insert(&self, profile: &FlavorProfile) -> Result<(), CatalogueError> {
        type Row = flavor_profile::ActiveModel;
        let call = Call::of("flavor_profile_insert");
        framed!(
            self,
            call,
            self.entry_insert::<flavor_profile::Entity, Row>(profile.into(), Duplicate::Profile)
        )
    }

    pub async fn flavor_profile_fetch(
        &self,
        id: FlavorProfileId,
    ) -> Result<Option<FlavorProfile>, StoreError> {
        let call = Call::of("flavor_profile_fetch");
        framed!(self, call, self.entry_fetch::<flavor_profile::Entity, _>(codec::id(id)))
    }

    pub async fn flavor_profile_update(
        &self,
        id: FlavorProfileId,
        change: &ProfileChange,
    ) -> Result<FlavorProfile, CatalogueError> {
        let row = flavor_profile::ActiveModel {
            name: set(change.name.as_ref()),
            provider_name: set(change.provider_name.as_ref()),
            flavor_data: set(change.data.as_ref()),
            ..Default::default()
        };
        let (call, key) = (Call::of("flavor_profile_update"), codec::id(id));
        let (unused, unique) = (change.needs_unused(), Duplicate::Profile);
        framed!(
            self,
            call,
            self.entry_update::<flavor_profile::Entity, _, FlavorProfile>(&key, row.clone(), unused, unique)
        )
    }

    /// Refused while a flavor refers to it.
    pub async fn flavor_profile_delete(&self, id: FlavorProfileId) -> Result<(), CatalogueError> {
        let (call, key) = (Call::of("flavor_profile_delete"), codec::id(id));
        framed!(self, call, self.entry_delete::<flavor_profile::Entity>(&key))
    }
}

/// Only what is given is written.
pub(super) fn set<T>(value: Option<&T>) -> ActiveValue<T>
where
    T: Clone + Into<sea_orm::Value>,
{
    value.map_or(ActiveValue::NotSet, |value| ActiveValue::Set(value.clone()))
}
