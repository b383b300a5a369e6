//! Draws the plot that the README shows.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::common::{Spread, size_name};
use crate::ways::{self, WAYS};
use crate::{Row, best, of};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line of the plot: a way, or the best of the host's ways; perhaps with the range over the
/// processes.
struct Series {
    name: &'static str,
    way: Option<usize>,
    style: ShapeStyle,
    has_range: bool,
}

impl Series {
    fn speedup(&self, row: &Row) -> Spread {
        row.speedup(|times| self.way.map_or_else(|| best(times), |way| times[way]), of(ways::MEMFD))
    }
}

fn all() -> Vec<Series> {
    let line = |name, way, style| Series { name, way, style, has_range: false };
    let lines = [
        line("best way of the host", None, BLACK.stroke_width(3)),
        line(WAYS[ways::MEMCPY].0, Some(ways::MEMCPY), BLACK.mix(0.3).stroke_width(1)),
    ];
    let ways = WAYS.iter().enumerate().filter_map(|(way, (name, colour, _))| {
        let (red, green, blue) = (*colour)?;
        let style = RGBColor(red, green, blue).stroke_width(1);
        Some(Series { name, way: Some(way), style, has_range: true })
    });
    lines.into_iter().chain(ways).collect()
}

/// Draws sizes on one axis, and speed relative to a plain memfd on the other. Each number of
/// threads has a panel.
pub fn draw(rows: &[Row], host: &str, path: &Path) -> std::io::Result<()> {
    plot(rows, host, path).map_err(std::io::Error::other)
}

/// Returns the text of an error. The plotter's errors may not go to another thread.
fn said<E: std::error::Error>(error: E) -> String {
    error.to_string()
}

fn plot(rows: &[Row], host: &str, path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, (1200, 580)).into_drawing_area();
    area.fill(&WHITE).map_err(said)?;
    let small = ("sans-serif", 12).into_font().color(&BLACK);
    area.draw_text(host, &small, (12, 562)).map_err(said)?;
    for (number, series) in all().into_iter().enumerate() {
        let (x, y) = (70 + number as i32 % 5 * 220, 14 + number as i32 / 5 * 20);
        area.draw(&PathElement::new([(x, y), (x + 24, y)], series.style.stroke_width(3)))
            .map_err(said)?;
        area.draw_text(series.name, &small, (x + 32, y - 6)).map_err(said)?;
    }
    let spreads: Vec<Spread> = all()
        .iter()
        .filter(|series| series.has_range)
        .flat_map(|series| rows.iter().map(|row| series.speedup(row)))
        .collect();
    let lowest = spreads.iter().map(|spread| spread.low).fold(1.0, f64::min);
    let highest = spreads.iter().map(|spread| spread.high).fold(1.0, f64::max);
    let panels = area.margin(40, 22, 0, 0).split_evenly((1, 2));
    for (panel, threads) in panels.iter().zip(crate::THREADS) {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.threads == threads).collect();
        self::panel(panel, threads, &rows, lowest / 1.1..highest * 1.1)?;
    }
    area.present().map_err(said)?;
    Ok(())
}

fn panel(area: &Area<'_>, threads: usize, rows: &[&Row], times: Range<f64>) -> Result<()> {
    let caption =
        if threads == 1 { "One thread".into() } else { format!("{threads} threads at once") };
    // Each size is one step further to the right. The plotter does that with doubled numbers.
    let places = (0..crate::SIZES.len()).map(|place| at(place as f64)).collect();
    let across =
        (at(-0.5)..at(crate::SIZES.len() as f64 - 0.5)).log_scale().with_key_points(places);
    let ticks = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
    let ticks = ticks.into_iter().filter(|tick| times.contains(tick)).collect();
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(across, times.clone().log_scale().with_key_points(ticks))
        .map_err(said)?;
    chart
        .configure_mesh()
        .x_desc("size")
        .y_desc("times as fast as a plain memfd: median of the processes, and their range")
        .x_label_formatter(&|place| size_name(crate::SIZES[place.log2() as usize]))
        .y_label_formatter(&|times| times.to_string())
        .light_line_style(WHITE)
        .draw()
        .map_err(said)?;
    for (number, series) in all().into_iter().enumerate() {
        // The ranges are drawn side by side, so that each can be seen.
        let beside = if series.has_range { 0.08 * (number as f64 - 5.0) } else { 0.0 };
        let spreads = rows
            .iter()
            .enumerate()
            .map(|(place, row)| (at(place as f64 + beside), series.speedup(row)));
        // One memcpy of a few bytes would be far above everything.
        let spreads: Vec<_> = spreads.filter(|(_, spread)| spread.high <= times.end).collect();
        let line = spreads.iter().map(|(at, spread)| (*at, spread.median));
        chart.draw_series(LineSeries::new(line, series.style)).map_err(said)?;
        if series.has_range {
            let middle = |(at, spread): &(f64, Spread)| {
                Circle::new((*at, spread.median), 2, series.style.filled())
            };
            chart.draw_series(spreads.iter().map(middle)).map_err(said)?;
            let range = |(at, spread): &(f64, Spread)| {
                PathElement::new(
                    [(*at, spread.low), (*at, spread.high)],
                    series.style.stroke_width(3),
                )
            };
            chart.draw_series(spreads.iter().map(range)).map_err(said)?;
        }
    }
    Ok(())
}

fn at(place: f64) -> f64 {
    place.exp2()
}
