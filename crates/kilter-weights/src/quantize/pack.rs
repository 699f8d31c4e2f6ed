//! Codes as a stream of bits: two's complement, the low bits of a byte first (so 4-bit codes lie low nibble first).

/// Bytes that so many codes of `bits` bits take.
pub fn packed_bytes(codes: u64, bits: u32) -> u64 {
    // In parts, so that no number of codes overflows.
    codes / 8 * u64::from(bits) + (codes % 8 * u64::from(bits)).div_ceil(8)
}

/// Appends codes; what is left of the last byte is zero.
pub fn pack(codes: &[i8], bits: u32, out: &mut Vec<u8>) {
    match bits {
        8 => out.extend(codes.iter().map(|&code| code as u8)),
        4 => {
            let (pairs, rest) = codes.as_chunks::<2>();
            out.extend(pairs.iter().map(|&[low, high]| (low as u8 & 0x0F) | ((high as u8) << 4)));
            out.extend(rest.iter().map(|&code| code as u8 & 0x0F));
        }
        _ => {
            let mask = (1_u32 << bits) - 1;
            let (mut held, mut filled) = (0_u32, 0);
            for &code in codes {
                held |= (u32::from(code as u8) & mask) << filled;
                filled += bits;
                while filled >= 8 {
                    out.push(held as u8);
                    held >>= 8;
                    filled -= 8;
                }
            }
            if filled > 0 {
                out.push(held as u8);
            }
        }
    }
}

/// Reads as many codes as `out` has room for; `bytes` holds at least so many.
pub fn unpack(bytes: &[u8], bits: u32, out: &mut [i8]) {
    let (mut held, mut filled, mut bytes) = (0_u32, 0, bytes.iter());
    let spare = 8 - bits;
    for code in out {
        if filled < bits {
            held |= u32::from(bytes.next().copied().unwrap_or(0)) << filled;
            filled += 8;
        }
        // Shifting up and down again extends the sign.
        *code = ((held as u8) << spare) as i8 >> spare;
        held >>= bits;
        filled -= bits;
    }
}
