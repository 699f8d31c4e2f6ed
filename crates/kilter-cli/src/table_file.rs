//! Trials as a table in a file: CSV, and Parquet for those who want types.
//!
//! The Parquet file has one row group without compression: columns are told apart by type (truths, whole numbers, numbers,
//! text), a cell that a trial lacks is null, and repeated texts are stored once.

use std::sync::Arc;

use kilter_study::{Cells, Column, Row};
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use crate::fault::Fault;

/// The columns of these names. One that no trial has is left out, unless it was asked for: then it is empty.
pub fn columns(rows: &[&Row], names: &[String], asked: bool) -> Vec<Column> {
    let column = |name: &String| {
        let empty = || Column { name: name.clone(), cells: Cells::Text(vec![None; rows.len()]) };
        Column::of(rows, name).or_else(|| asked.then(empty))
    };
    names.iter().filter_map(column).collect()
}

/// As text, a line for each of the `rows` trials.
pub fn csv(columns: &[Column], rows: usize) -> Result<Vec<u8>, Fault> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns.iter().map(|column| column.name.as_str())).map_err(Fault::work)?;
    for row in 0..rows {
        writer.write_record(columns.iter().map(|column| column.text(row))).map_err(Fault::work)?;
    }
    writer.into_inner().map_err(Fault::work)
}

/// As a Parquet file of `rows` trials.
pub fn parquet(columns: &[Column], rows: usize) -> Result<Vec<u8>, Fault> {
    written(columns, rows).map_err(Fault::work)
}

fn written(columns: &[Column], rows: usize) -> Result<Vec<u8>, ParquetError> {
    let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder("trials").with_fields(fields).build()?;
    let made_by = format!("kilter {}", env!("CARGO_PKG_VERSION"));
    let properties = WriterProperties::builder().set_created_by(made_by).build();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    // A file without rows has no group of them.
    if rows > 0 {
        let mut group = file.next_row_group()?;
        for column in columns {
            let writer = group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?;
            write(writer, &column.cells)?;
        }
        group.close()?;
    }
    file.into_inner()
}

fn field(column: &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match &column.cells {
        Cells::Bool(_) => (Physical::BOOLEAN, None),
        Cells::Int(_) => (Physical::INT64, None),
        Cells::Float(_) => (Physical::DOUBLE, None),
        Cells::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let field = Type::primitive_type_builder(&column.name, physical).with_logical_type(logical);
    field.with_repetition(Repetition::OPTIONAL).build().map(Arc::new)
}

fn write(mut writer: SerializedColumnWriter<'_>, cells: &Cells) -> Result<(), ParquetError> {
    match cells {
        Cells::Bool(cells) => write_cells(writer.typed::<BoolType>(), cells, |truth| *truth)?,
        Cells::Int(cells) => write_cells(writer.typed::<Int64Type>(), cells, |whole| *whole)?,
        Cells::Float(cells) => write_cells(writer.typed::<DoubleType>(), cells, |number| *number)?,
        Cells::Text(cells) => {
            write_cells(writer.typed::<ByteArrayType>(), cells, |text| ByteArray::from(text.as_str()))?;
        }
    }
    writer.close()
}

/// The cells that are there, and for each of all whether it is.
fn write_cells<T: DataType, C>(
    writer: &mut ColumnWriterImpl<'_, T>,
    cells: &[Option<C>],
    value: impl Fn(&C) -> T::T,
) -> Result<(), ParquetError> {
    let there: Vec<T::T> = cells.iter().flatten().map(value).collect();
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    writer.write_batch(&there, Some(&levels), None).map(|_| ())
}
