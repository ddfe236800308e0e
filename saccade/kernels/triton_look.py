# mypy: disallow-untyped-defs=False
"""The fused kernel's device code: all scales of all glimpses in one launch of Triton programs.

Only `saccade.kernels.fused` imports this file, and only where Triton is.

A *program* takes one scale of one glimpse of one channel. The scales of a glimpse are beside each
other, widest first, so that the narrower windows are found in the cache. A *lane* adds up one
column of pixels of a cell. Where a cell of bytes is two or more pixels wide, its lane is two to
eight pixels wide: two or three aligned words hold them wherever they start, and `dp4a` adds the
four bytes of a word, each weighted 0 or 1, in one instruction. The weights carry both the
misalignment and the image's left and right border, and are the same for every row.
"""

import triton
import triton.language as tl


@triton.jit
def _load(pointers, inside, MASKED: tl.constexpr):
    return tl.load(pointers, mask=inside, other=0) if MASKED else tl.load(pointers)


@triton.jit
def _weights(word, x, WIDE: tl.constexpr, WIDTH: tl.constexpr):
    """One in each byte of a row's `word` that lies in [x, x + WIDE) and in the image."""
    first = tl.minimum(tl.maximum(x - 4 * word, 0), 4).to(tl.int64)
    end = tl.minimum(tl.maximum(tl.minimum(x + WIDE, WIDTH) - 4 * word, 0), 4).to(tl.int64)
    one = tl.full(first.shape, 1, tl.int64)
    inside = ((one << (8 * end)) - 1) & ~((one << (8 * first)) - 1)
    return (inside & 0x01010101).to(tl.uint32)


@triton.jit
def _add_bytes(total, words, weights, DOT: tl.constexpr):
    """Adds the four bytes of each word, weighted 0 or 1, to a total."""
    if DOT:
        return tl.inline_asm_elementwise(
            "dp4a.u32.u32 $0, $1, $2, $3;",
            "=r,r,r,r",
            [words, weights, total],
            dtype=tl.uint32,
            is_pure=True,
            pack=1,
        )
    kept = words & (weights * 255)
    pairs = (kept & 0x00FF00FF) + ((kept >> 8) & 0x00FF00FF)
    return total + (pairs & 0xFFFF) + (pairs >> 16)


@triton.jit
def _add_rows(
    total,
    pointers,
    first,
    second,
    third,
    y_top,
    height,
    CELL: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    PITCH: tl.constexpr,
    MASKED: tl.constexpr,
    DOT: tl.constexpr,
):
    """Adds to every lane the pixels of its cell's rows, those inside the image if MASKED."""
    for y_cell in range(0, CELL, ROWS):
        some = tl.zeros(total.shape, tl.float32 if total.dtype.is_floating() else tl.uint32)
        for step in tl.static_range(ROWS):
            inside = (y_top + (y_cell + step)).to(tl.uint32) < height  # a negative one is large
            here = pointers + step * PITCH
            if WIDE == 1:
                some += _load(here, inside, MASKED).to(some.dtype)
            else:
                some = _add_bytes(some, _load(here, inside, MASKED), first, DOT)
                some = _add_bytes(some, _load(here + 1, inside, MASKED), second, DOT)
                if WIDE == 8:
                    some = _add_bytes(some, _load(here + 2, inside, MASKED), third, DOT)
        total += some.to(total.dtype)  # of floats: short sums in float32, theirs in float64
        pointers += ROWS * PITCH
    return total


@triton.jit
def _look_at_scale(
    plane,  # pointer to a channel of the image
    out,  # pointer to the (SIZE, SIZE) cells to fill
    center_x,
    center_y,
    height,
    known,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
    CELL: tl.constexpr,
    WIDE: tl.constexpr,
    LANES: tl.constexpr,
    TILE: tl.constexpr,
    ROWS: tl.constexpr,
    DOT: tl.constexpr,
):
    BYTES: tl.constexpr = plane.dtype.element_ty == tl.uint8
    SIDE: tl.constexpr = SIZE * CELL
    HALF: tl.constexpr = 0.0 if SIDE % 2 else 0.5
    left = tl.floor(center_x + HALF).to(tl.int32) - SIDE // 2
    top = tl.floor(center_y + HALF).to(tl.int32) - SIDE // 2
    column = tl.arange(0, COLUMNS)[None, :, None]
    lane = tl.arange(0, LANES)[None, None, :]
    x = left + column * CELL + lane * WIDE  # (1, COLUMNS, LANES)
    PITCH: tl.constexpr = WIDTH if WIDE == 1 else WIDTH // 4  # of a row, in what a lane reads
    # Lanes outside the image read what is nearest in their row and count it zero times.
    if WIDE == 1:
        start = plane + tl.minimum(tl.maximum(x, 0), WIDTH - 1)
        first, second, third = 0, 0, 0
    else:
        word = tl.minimum(tl.maximum(x >> 2, 0), PITCH - (3 if WIDE == 8 else 2))
        start = plane.to(tl.pointer_type(tl.uint32)) + word
        first = _weights(word, x, WIDE, WIDTH)
        second = _weights(word + 1, x, WIDE, WIDTH)
        third = _weights(word + 2, x, WIDE, WIDTH)
    # The product with 1 / area, both float64, rounds to the same float32 as the quotient as long
    # as the divisor is below 2**24: no quotient of such numbers is near enough to a tie.
    AREA: tl.constexpr = CELL * CELL * (255 if BYTES else 1)
    DIVIDE: tl.constexpr = AREA >= 2**24
    share = tl.full((), AREA if DIVIDE else 1.0 / AREA, tl.float64)
    share = tl.where(known, share, float("nan"))
    for tile in range(tl.program_id(2), (SIZE + TILE - 1) // TILE, tl.num_programs(2)):
        row = tile * TILE + tl.arange(0, TILE)[:, None, None]
        y_top = top + row * CELL  # (TILE, 1, 1)
        pointers = start + y_top.to(tl.int64) * PITCH
        total = tl.zeros(
            (TILE, COLUMNS, LANES),
            tl.uint32 if BYTES else (tl.float64 if CELL > 8 else tl.float32),
        )
        above = top + tile * (TILE * CELL)
        below = above + TILE * CELL
        if known & (left < WIDTH) & (left + SIDE > 0):
            if (above >= 0) & (below <= height):
                total = _add_rows(
                    total, pointers, first, second, third, y_top, height,
                    CELL, WIDE, ROWS, PITCH, False, DOT,
                )  # fmt: skip
            elif (above < height) & (below > 0):
                total = _add_rows(
                    total, pointers, first, second, third, y_top, height,
                    CELL, WIDE, ROWS, PITCH, True, DOT,
                )  # fmt: skip
        if WIDE == 1:
            total = tl.where((x >= 0) & (x < WIDTH) & (lane < CELL), total, 0)
        cells = tl.sum(total, 2).to(tl.float64)  # (TILE, COLUMNS)
        mean = (cells / share if DIVIDE else cells * share).to(tl.float32)
        i = tile * TILE + tl.arange(0, TILE)[:, None]
        j = tl.arange(0, COLUMNS)[None, :]
        mask = (i < SIZE) & (j < SIZE)
        tl.store(out + i * SIZE + j, mean.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _center(location, length, WIDEST: tl.constexpr):
    """A location in pixels; one too far off for any window to meet the image comes nearer."""
    center = (location.to(tl.float64) + 1) * 0.5 * length
    center = tl.where(center < length + WIDEST, center, length + WIDEST)  # NaN too
    return tl.where(center > -WIDEST, center, -WIDEST)


@triton.jit(
    do_not_specialize=["count", "height"],
    # Rows of a batch begin anywhere: one program for all, which gains nothing from where they do.
    do_not_specialize_on_alignment=["images", "locations", "image_index"],
)
def look_kernel(
    images,
    locations,
    image_index,
    out,
    count,
    height,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
    SCALES: tl.constexpr,
    WIDTH: tl.constexpr,
    PLAN: tl.constexpr,
    INDEXED: tl.constexpr,
    DOT: tl.constexpr,
):
    """Fills `out` (N, SCALES, C, SIZE, SIZE); the grid is (N * SCALES, C, parts) programs.

    Arguments are contiguous: `images` (count, C, height, WIDTH), `locations` (N, 2) and, if
    INDEXED, `image_index` (N,). The rows of a glimpse of a channel are dealt to its parts.
    COLUMNS is SIZE, up to a power of two. `PLAN` holds a scale's (CELL, WIDE, LANES, TILE,
    ROWS): a cell's side and a lane's width in pixels, lanes to a cell, rows of cells at once,
    rows of pixels at once. To be compiled without fused multiply-add, which would round
    a window's start otherwise than the CPU.
    """
    glimpse = (tl.program_id(0) // SCALES).to(tl.int64)
    own_scale = SCALES - 1 - tl.program_id(0) % SCALES
    channel = tl.program_id(1)
    channels = tl.num_programs(1)
    image = tl.load(image_index + glimpse).to(tl.int64) if INDEXED else glimpse
    known = (image >= 0) & (image < count)
    WIDEST: tl.constexpr = SIZE * PLAN[SCALES - 1][0]
    center_x = _center(tl.load(locations + 2 * glimpse), WIDTH, WIDEST)
    center_y = _center(tl.load(locations + 2 * glimpse + 1), height, WIDEST)
    plane = images + (image * channels + channel) * height * WIDTH
    for scale in tl.static_range(SCALES):
        if scale == own_scale:
            cells = ((glimpse * SCALES + scale) * channels + channel) * (SIZE * SIZE)
            _look_at_scale(
                plane,
                out + cells,
                center_x,
                center_y,
                height,
                known,
                SIZE,
                COLUMNS,
                WIDTH,
                PLAN[scale][0],
                PLAN[scale][1],
                PLAN[scale][2],
                PLAN[scale][3],
                PLAN[scale][4],
                DOT,
            )
