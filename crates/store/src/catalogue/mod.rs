//! Flavors, availability zones and their profiles: what operators write, and load balancers are made of.
//!
//! Rows hold each other in place: who refers to a row holds a lock on it until the reference is committed, and who
//! removes a row, or changes what others rely on, takes the row for itself before looking for references.

use octavia_model::{LoadBalancer, ProvisioningStatus};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr,
    EntityTrait, IntoActiveModel, PaginatorTrait, PrimaryKeyTrait, QueryFilter, QuerySelect, Select, SqlErr,
};

use crate::entity::{self, codec, load_balancer};
use crate::options::Call;
use crate::retry::{Conflicting, framed};
use crate::{Duplicate, Missing, Store, StoreError};

mod availability_zone;
mod flavor;

pub use availability_zone::AvailabilityZoneChange;
pub use flavor::FlavorChange;

/// Why nothing of the catalogue was changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("no such entry of the catalogue")]
    NotFound,
    /// Something refers to it.
    #[error("in use")]
    InUse,
    /// The profile it is to refer to is not there.
    #[error("no such profile")]
    NoProfile,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DbErr> for CatalogueError {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}

impl Conflicting for CatalogueError {
    fn of_store(&self) -> Option<&StoreError> {
        if let Self::Store(error) = self { Some(error) } else { None }
    }
}

/// What becomes of a profile; `None` leaves an attribute as it is. All but the name is refused while the profile is in
/// use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    pub name: Option<String>,
    pub provider_name: Option<String>,
    /// Flavor data, or availability zone data.
    pub data: Option<String>,
}

impl ProfileChange {
    const fn needs_unused(&self) -> bool {
        self.provider_name.is_some() || self.data.is_some()
    }
}

type Key<E> = <<E as EntityTrait>::PrimaryKey as PrimaryKeyTrait>::ValueType;

/// A table of the catalogue: its key is one column of text.
trait Table: EntityTrait {
    const KEY: Self::Column;

    /// Rows of other tables that keep this row from being removed.
    fn users(key: &str) -> Users;
}

enum Users {
    Flavors(Select<entity::flavor::Entity>),
    Zones(Select<entity::availability_zone::Entity>),
    LoadBalancers(Select<load_balancer::Entity>),
}

impl Users {
    fn load_balancers(column: load_balancer::Column, key: &str) -> Self {
        let there = load_balancer::Column::ProvisioningStatus.ne(ProvisioningStatus::Deleted.as_str());
        Self::LoadBalancers(load_balancer::Entity::find().filter(column.eq(key)).filter(there))
    }

    /// Fails when there are any.
    async fn none(self, tx: &DatabaseTransaction) -> Result<(), CatalogueError> {
        let count = match self {
            Self::Flavors(select) => select.count(tx).await?,
            Self::Zones(select) => select.count(tx).await?,
            Self::LoadBalancers(select) => select.count(tx).await?,
        };
        if count == 0 { Ok(()) } else { Err(CatalogueError::InUse) }
    }
}

impl Store {
    async fn entry_fetch<E, T>(&self, key: String) -> Result<Option<T>, StoreError>
    where
        E: EntityTrait,
        Key<E>: From<String>,
        T: TryFrom<E::Model, Error = StoreError>,
    {
        E::find_by_id(Key::<E>::from(key)).one(self.reader()).await?.map(T::try_from).transpose()
    }

    async fn entry_insert<E, A>(&self, row: E::Model, key: Duplicate) -> Result<(), CatalogueError>
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<A>,
        A: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
    {
        let tx = self.begin_write().await?;
        match E::insert(row.into_active_model().reset_all()).exec_without_returning(&tx).await {
            Ok(_) => Ok(self.conclude(tx).await?),
            Err(error) if is_dangling(&error) => Err(CatalogueError::NoProfile),
            Err(error) => Err(StoreError::of_insert(error, key).into()),
        }
    }

    async fn entry_delete<E>(&self, key: &str) -> Result<(), CatalogueError>
    where
        E: Table,
        Key<E>: From<String>,
    {
        let tx = self.begin_write().await?;
        locked::<E>(&tx, key).await?;
        E::users(key).none(&tx).await?;
        E::delete_many().filter(E::KEY.eq(key)).exec(&tx).await?;
        Ok(self.conclude(tx).await?)
    }

    /// Writes the columns that are set; the row comes back as it is afterwards.
    async fn entry_update<E, A, T>(
        &self,
        key: &str,
        row: A,
        needs_unused: bool,
        unique: Duplicate,
    ) -> Result<T, CatalogueError>
    where
        E: Table,
        Key<E>: From<String>,
        A: ActiveModelTrait<Entity = E> + Send,
        T: TryFrom<E::Model, Error = StoreError>,
    {
        let tx = self.begin_write().await?;
        locked::<E>(&tx, key).await?;
        if needs_unused {
            E::users(key).none(&tx).await?;
        }
        let written = E::update_many().set(row).filter(E::KEY.eq(key)).exec(&tx).await;
        written.map_err(|error| StoreError::of_insert(error, unique))?;
        let row = locked::<E>(&tx, key).await?;
        self.conclude(tx).await?;
        Ok(T::try_from(row)?)
    }
}

/// The row, taken until the transaction ends.
async fn locked<E>(tx: &DatabaseTransaction, key: &str) -> Result<E::Model, CatalogueError>
where
    E: EntityTrait,
    Key<E>: From<String>,
{
    let row = E::find_by_id(Key::<E>::from(key.to_owned())).lock_exclusive().one(tx).await?;
    row.ok_or(CatalogueError::NotFound)
}

fn is_dangling(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_)))
}

/// What a new load balancer is made of stays until its row is committed.
pub(crate) async fn hold(tx: &impl ConnectionTrait, lb: &LoadBalancer) -> Result<(), StoreError> {
    if let Some(id) = lb.flavor_id {
        let row = entity::flavor::Entity::find_by_id(codec::id(id)).lock_shared().one(tx).await?;
        row.ok_or(StoreError::Missing(Missing::Flavor))?;
    }
    if let Some(name) = &lb.availability_zone {
        let row = entity::availability_zone::Entity::find_by_id(name.clone()).lock_shared().one(tx).await?;
        row.ok_or(StoreError::Missing(Missing::AvailabilityZone))?;
    }
    Ok(())
}
