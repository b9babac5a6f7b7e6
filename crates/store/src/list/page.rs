//! Order and pages: by key of the last object seen, never by offset.

use sea_orm::sea_query::{Expr, Func, Iden, IntoIden, NullOrdering, Query};
use sea_orm::sqlx::Row as _;
use sea_orm::{
    Condition, ConnectionTrait, DbBackend, EntityTrait, ExprTrait, FromQueryResult, Order, QueryFilter,
    QueryOrder, QueryResult, QuerySelect, QueryTrait, Select, SelectModel, Selector, Value,
};
use serde::Deserialize;

use super::filter::{condition, storable};
use super::keys::{Key, Kind};
use super::{Direction, ListQuery, Resource};
use crate::gather::gathered;
use crate::{ListError, StoreError};

/// The rows of one page.
pub(crate) async fn select<E: EntityTrait>(
    db: &impl ConnectionTrait,
    resource: Resource,
    select: Select<E>,
    query: &ListQuery,
) -> Result<Vec<E::Model>, ListError> {
    rows(db, prepare(db, resource, select, query).await?.into_model()).await
}

/// What can also be read from one text for each row: a JSON array of columns, in the order of the fields of `Row`.
///
/// SQLite's driver makes five allocations of each value, most of which are freed by another thread; of a long list they
/// are half of the work. So there a row comes as one value, and what it is made of is looked at where it lies.
pub(crate) trait Packed: Sized {
    type Row<'a>: Deserialize<'a>;

    fn columns() -> impl Iterator<Item = impl Iden>;

    fn unpack(row: &Self::Row<'_>) -> Result<Self, StoreError>;
}

/// What the rows of one page are, as [`select`] finds them.
pub(crate) async fn select_packed<E, T>(
    db: &impl ConnectionTrait,
    resource: Resource,
    select: Select<E>,
    query: &ListQuery,
) -> Result<Vec<T>, ListError>
where
    E: EntityTrait,
    T: Packed + for<'r> TryFrom<&'r E::Model, Error = StoreError>,
{
    let select = prepare(db, resource, select, query).await?;
    if db.get_database_backend() != DbBackend::Sqlite {
        let rows: Vec<E::Model> = rows(db, select.into_model()).await?;
        return Ok(rows.iter().map(T::try_from).collect::<Result<_, _>>()?);
    }
    let columns = T::columns().map(|column| Expr::col(column.into_iden()));
    let mut packed = select.into_query();
    packed.clear_selects().expr(Func::cust("json_array").args(columns));
    let corrupt = |detail: String| StoreError::Corrupt { table: E::default().table_name(), detail };
    let unpack = |row: &QueryResult| {
        let row = row.try_as_sqlite_row().ok_or_else(|| corrupt("a row of another database".to_owned()))?;
        let text: &str = row.try_get(0).map_err(|error| corrupt(error.to_string()))?;
        T::unpack(&serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?)
    };
    let rows = gathered(db.query_all(&packed)).await?;
    // Room at once: collecting results does not know how many there will be, and rows are large.
    let mut unpacked = Vec::with_capacity(rows.len());
    for row in &rows {
        unpacked.push(unpack(row)?);
    }
    Ok(unpacked)
}

async fn rows<M: FromQueryResult + Send>(
    db: &impl ConnectionTrait,
    selector: Selector<SelectModel<M>>,
) -> Result<Vec<M>, ListError> {
    let rows = selector.all(db);
    Ok(if db.get_database_backend() == DbBackend::Sqlite { gathered(rows).await? } else { rows.await? })
}

/// The statement for one page.
async fn prepare<E: EntityTrait>(
    db: &impl ConnectionTrait,
    resource: Resource,
    select: Select<E>,
    query: &ListQuery,
) -> Result<Select<E>, ListError> {
    let order = order(resource, query)?;
    let mut select = select.filter(condition(resource, query)?);
    if let Some(marker) = &query.marker {
        let last = last_seen::<E>(db, resource, marker, &order).await?;
        select = select.filter(beyond(&order, &last, query.page_reverse));
    }
    for (key, direction) in &order {
        let direction = match direction {
            Direction::Ascending => Order::Asc,
            Direction::Descending => Order::Desc,
        };
        let column = Expr::col(key.column);
        select = if key.nullable {
            // Null is less than any value, everywhere.
            let nulls = if direction == Order::Asc { NullOrdering::First } else { NullOrdering::Last };
            select.order_by_with_nulls(column, direction, nulls)
        } else {
            select.order_by(column, direction)
        };
    }
    Ok(select.limit(query.limit))
}

/// What was asked for, then `created_at` (where there is one) and the id, so that the order is total.
fn order(resource: Resource, query: &ListQuery) -> Result<Vec<(&'static Key, Direction)>, ListError> {
    let mut order: Vec<(&'static Key, Direction)> = vec![];
    for sort in &query.sort {
        let key = resource.sort_key(&sort.key).ok_or_else(|| ListError::UnknownSortKey(sort.key.clone()))?;
        // One that all rows have alike, or that sorts already, says nothing new.
        if key.kind != Kind::Unset && !order.iter().any(|(other, _)| other.column == key.column) {
            order.push((key, sort.direction));
        }
    }
    for tie_break in ["created_at", resource.identity()] {
        if let Some(key) = resource.sort_key(tie_break)
            && !order.iter().any(|(other, _)| other.column == key.column)
        {
            order.push((key, Direction::Ascending));
        }
    }
    Ok(order)
}

/// The values the marker's row is sorted by. It need not match the filters.
async fn last_seen<E: EntityTrait>(
    db: &impl ConnectionTrait,
    resource: Resource,
    marker: &str,
    order: &[(&'static Key, Direction)],
) -> Result<Vec<Option<Value>>, ListError> {
    let unknown = || ListError::UnknownMarker(marker.to_owned());
    if !storable(marker) {
        return Err(unknown());
    }
    let select = Query::select()
        .columns(order.iter().map(|(key, _)| key.column))
        .from(E::default().table_ref())
        .and_where(Expr::col(resource.identity()).eq(marker))
        .take();
    let row = db.query_one(&select).await?.ok_or_else(unknown)?;
    order.iter().map(|(key, _)| value(&row, key)).collect()
}

fn value(row: &QueryResult, key: &Key) -> Result<Option<Value>, ListError> {
    Ok(match key.kind {
        Kind::Text | Kind::Elsewhere { .. } => {
            row.try_get::<Option<String>>("", key.column)?.map(Value::from)
        }
        Kind::Unset => None,
        Kind::Flag => row.try_get::<Option<bool>>("", key.column)?.map(Value::from),
        Kind::Number | Kind::Time | Kind::Tenths => {
            row.try_get::<Option<i64>>("", key.column)?.map(Value::from)
        }
    })
}

/// Rows strictly beyond the last one seen: equal in the first keys, beyond in the next, for every number of first keys.
fn beyond(order: &[(&'static Key, Direction)], last: &[Option<Value>], reverse: bool) -> Condition {
    let mut any = Condition::any();
    let mut all = Condition::all();
    if let (Some((key, direction)), Some(Some(value))) = (order.first(), last.first())
        && order.len() > 1
    {
        // Says nothing new, but in a form that databases begin at in an index.
        let upwards = (*direction == Direction::Ascending) != reverse;
        let column = Expr::col(key.column);
        if upwards {
            all = all.add(column.gte(value.clone()));
        } else if !key.nullable {
            all = all.add(column.lte(value.clone()));
        }
    }
    for at in 0..order.len() {
        let (key, direction) = order[at];
        let upwards = (direction == Direction::Ascending) != reverse;
        let Some(step) = step(key, last[at].as_ref(), upwards) else { continue };
        let mut equal = Condition::all();
        for ((key, _), value) in order[..at].iter().zip(last) {
            let column = Expr::col(key.column);
            equal = equal.add(match value {
                Some(value) => column.eq(value.clone()),
                None => column.is_null(),
            });
        }
        any = any.add(equal.add(step));
    }
    all.add(any)
}

/// Greater, or less, than the value, where null is less than any; `None` when nothing is.
fn step(key: &Key, value: Option<&Value>, upwards: bool) -> Option<Condition> {
    let column = || Expr::col(key.column);
    Some(match (value, upwards) {
        (Some(value), true) => Condition::all().add(column().gt(value.clone())),
        (None, true) => Condition::all().add(column().is_not_null()),
        (Some(value), false) if key.nullable => {
            Condition::any().add(column().lt(value.clone())).add(column().is_null())
        }
        (Some(value), false) => Condition::all().add(column().lt(value.clone())),
        (None, false) => return None,
    })
}
