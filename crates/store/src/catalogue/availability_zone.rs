//! Availability zones and their profiles.

use octavia_model::{AvailabilityZone, AvailabilityZoneProfile, AvailabilityZoneProfileId};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::flavor::set;
use super::{Call, CatalogueError, ProfileChange, Table, Users, framed};
use crate::entity::{availability_zone, availability_zone_profile, codec, load_balancer};
use crate::{Duplicate, Store, StoreError};

/// What becomes of an availability zone; `None` leaves an attribute as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AvailabilityZoneChange {
    pub description: Option<String>,
    pub enabled: Option<bool>,
}

impl Table for availability_zone::Entity {
    const KEY: Self::Column = availability_zone::Column::Name;

    fn users(key: &str) -> Users {
        Users::load_balancers(load_balancer::Column::AvailabilityZone, key)
    }
}

impl Table for availability_zone_profile::Entity {
    const KEY: Self::Column = availability_zone_profile::Column::Id;

    fn users(key: &str) -> Users {
        let of = availability_zone::Column::AvailabilityZoneProfileId.eq(key);
        Users::Zones(availability_zone::Entity::find().filter(of))
    }
}

impl Store {
    /// `NoProfile` when there is none of this id; a name that another zone has is a duplicate.
    pub async fn availability_zone_insert(&self, zone: &AvailabilityZone) -> Result<(), CatalogueError> {
        type Row = availability_zone::ActiveModel;
        let (call, key) = (Call::of("availability_zone_insert"), Duplicate::AvailabilityZone);
        framed!(self, call, self.entry_insert::<availability_zone::Entity, Row>(zone.into(), key))
    }

    pub async fn availability_zone_fetch(&self, name: &str) -> Result<Option<AvailabilityZone>, StoreError> {
        let call = Call::of("availability_zone_fetch");
        framed!(self, call, self.entry_fetch::<availability_zone::Entity, _>(name.to_owned()))
    }

    /// Possible while load balancers are in it.
    pub async fn availability_zone_update(
        &self,
        name: &str,
        change: &AvailabilityZoneChange,
    ) -> Result<AvailabilityZone, CatalogueError> {
        type Zones = availability_zone::Entity;
        let row = availability_zone::ActiveModel {
            description: set(change.description.as_ref()),
            enabled: set(change.enabled.as_ref()),
            ..Default::default()
        };
        let (call, unique) = (Call::of("availability_zone_update"), Duplicate::AvailabilityZone);
        framed!(self, call, self.entry_update::<Zones, _, AvailabilityZone>(name, row.clone(), false, unique))
    }

    /// Refused while a load balancer that is not `DELETED` is in it.
    pub async fn availability_zone_delete(&self, name: &str) -> Result<(), CatalogueError> {
        let call = Call::of("availability_zone_delete");
        framed!(self, call, self.entry_delete::<availability_zone::Entity>(name))
    }

    pub async fn availability_zone_profile_insert(
        &self,
        profile: &AvailabilityZoneProfile,
    ) -> Result<(), CatalogueError> {
        type Profiles = availability_zone_profile::Entity;
        type Row = availability_zone_profile::ActiveModel;
        let call = Call::of("availability_zone_profile_insert");
        framed!(self, call, self.entry_insert::<Profiles, Row>(profile.into(), Duplicate::Profile))
    }

    pub async fn availability_zone_profile_fetch(
        &self,
        id: AvailabilityZoneProfileId,
    ) -> Result<Option<AvailabilityZoneProfile>, StoreError> {
        let call = Call::of("availability_zone_profile_fetch");
        framed!(self, call, self.entry_fetch::<availability_zone_profile::Entity, _>(codec::id(id)))
    }

    pub async fn availability_zone_profile_update(
        &self,
        id: AvailabilityZoneProfileId,
        change: &ProfileChange,
    ) -> Result<AvailabilityZoneProfile, CatalogueError> {
        type Profiles = availability_zone_profile::Entity;
        let row = availability_zone_profile::ActiveModel {
            name: set(change.name.as_ref()),
            provider_name: set(change.provider_name.as_ref()),
            availability_zone_data: set(change.data.as_ref()),
            ..Default::default()
        };
        let (call, key) = (Call::of("availability_zone_profile_update"), codec::id(id));
        let (unused, unique) = (change.needs_unused(), Duplicate::Profile);
        framed!(
            self,
            call,
            self.entry_update::<Profiles, _, AvailabilityZoneProfile>(&key, row.clone(), unused, unique)
        )
    }

    /// Refused while an availability zone refers to it.
    pub async fn availability_zone_profile_delete(
        &self,
        id: AvailabilityZoneProfileId,
    ) -> Result<(), CatalogueError> {
        let (call, key) = (Call::of("availability_zone_profile_delete"), codec::id(id));
        framed!(self, call, self.entry_delete::<availability_zone_profile::Entity>(&key))
    }
}
