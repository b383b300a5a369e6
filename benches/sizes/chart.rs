//! The plot that the README shows.

use std::path::Path;

use plotters::prelude::*;

use crate::Row;
use crate::common::size_name;
use crate::ways::WAYS;

const COLOURS: [RGBColor; WAYS.len()] = [
    RGBColor(140, 140, 140),
    RGBColor(190, 190, 190),
    RGBColor(215, 180, 140),
    RGBColor(120, 170, 220),
    RGBColor(30, 90, 180),
    RGBColor(20, 140, 80),
    RGBColor(230, 120, 20),
    RGBColor(0, 0, 0),
];

/// Sizes on one axis, bytes per second on the other.
pub fn draw(rows: &[Row], host: &str, path: &Path) -> std::io::Result<()> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.size > 0).collect();
    plot(&rows, host, path).map_err(std::io::Error::other)
}

fn plot(rows: &[&Row], host: &str, path: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let speed = |row: &Row, way| row.size as f64 / row.times.of(way) * 1e9;
    let all = || rows.iter().flat_map(|row| (0..WAYS.len()).map(|way| speed(row, way)));
    let (slowest, fastest) = (all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max));
    let sizes: Vec<f64> = rows.iter().map(|row| row.size as f64).collect();
    let across = (sizes[0]..sizes[sizes.len() - 1]).log_scale().with_key_points(sizes);

    let error = |e: DrawingAreaErrorKind<std::io::Error>| e.to_string();
    let area = SVGBackend::new(path, (960, 600)).into_drawing_area();
    area.fill(&WHITE).map_err(error)?;
    let (note, area) = (area.margin(0, 0, 0, 0), area.margin(0, 24, 0, 0));
    note.draw_text(host, &("sans-serif", 12).into_font().color(&BLACK.mix(0.6)), (12, 580)).map_err(error)?;

    let mut chart = ChartBuilder::on(&area)
        .caption("Bytes into a descriptor", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(across, (slowest..fastest * 1.5).log_scale())
        .map_err(error)?;
    chart
        .configure_mesh()
        .x_desc("size")
        .y_desc("bytes per second")
        .x_label_formatter(&|size| size_name(*size as usize))
        .y_label_formatter(&|speed| match *speed {
            speed if speed >= 1e9 => format!("{:.0} GB/s", speed / 1e9),
            speed => format!("{:.0} MB/s", speed / 1e6),
        })
        .light_line_style(WHITE)
        .draw()
        .map_err(error)?;
    for (way, (name, _)) in WAYS.iter().enumerate() {
        let style = COLOURS[way].stroke_width(2);
        let points = rows.iter().map(|row| (row.size as f64, speed(row, way)));
        chart
            .draw_series(LineSeries::new(points, style).point_size(3))
            .map_err(error)?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .draw()
        .map_err(error)?;
    drop(chart);
    area.present().map_err(error)?;
    Ok(())
}
