;; CRC-64/NVME: reflected, polynomial 0x9A6C9329AC4BC9B5. The state here is raw: the caller inverts it
;; before the first byte and after the last. scripts/build-crc64.ts compiles this file into
;; crc64-nvme-wasm.ts.
;;
;; Two methods. $digest takes 16 bytes a step through sixteen tables (about 3 GB/s). $update first
;; shortens long chunks by folding (about 10 GB/s), and leaves the last 1.4 KB to the tables.
;;
;; Folding. Some sums of few powers of x are multiples of the polynomial. This one has nine:
;;     1 + x^-356 + x^-387 + x^-649 + x^-809 + x^-901 + x^-1180 + x^-1333 + x^-1370
;; Squaring such a sum doubles its exponents, so three squarings make them counts of bytes: a byte
;; may be set to zero if it is XORed into the bytes 356, 387 .. 1370 later, and the CRC stays. We do
;; so from the front, 16 bytes at a time; each vector gathers what the earlier ones owe it. No shift
;; and no table is needed, and no distance is so short that a load waits for a recent store.
;;
;; Memory, in bytes:
;;       0  state, 8
;;      64  x^(8 * 2^k) for k = 0 .. 63, 8 each
;;    1024  tables 0 .. 15, 256 entries of 8 each: table t is byte b followed by t zero bytes
;;   33792  tail, 1536: the end of a folded chunk
;;   35328  zeros, 1536: what comes before a chunk; never written
;;   36864  chunk, 65536, and room behind it for whole vectors
(module
  (memory (export "memory") 2)
  (global (export "chunkAt") i32 (i32.const 36864))
  (global (export "chunkBytesMax") i32 (i32.const 65536))

  ;; Takes the first $length bytes of the chunk into the state at 0. Overwrites the chunk.
  (func (export "update") (param $length i32)
    (local $foldEnd i32)
    (local $tailBytes i32)
    ;; Below this length the tables alone are as fast.
    (if (i32.lt_u (local.get $length) (i32.const 2560))
      (then
        (i64.store (i32.const 0)
          (call $digest (i32.const 36864) (local.get $length) (i64.load (i32.const 0))))
        (return)))

    ;; A state is the same as a state of 0 with the old state XORed into the next 8 bytes.
    (i64.store (i32.const 36864)
      (i64.xor (i64.load (i32.const 36864)) (i64.load (i32.const 0))))

    ;; Fold whole vectors, as long as 1370 bytes stay behind the last one to receive its share.
    (local.set $foldEnd
      (i32.add
        (i32.const 36864)
        (i32.and (i32.sub (local.get $length) (i32.const 1370)) (i32.const -16))))
    (call $fold (i32.const 36864) (i32.const 36864) (local.get $foldEnd))

    ;; The tail gathers from the folded bytes but not from itself: it moves away, and zeros take its
    ;; place. It is at most 1370 + 15 bytes; the last 1376 - 1370 gathered ones are zeros.
    (local.set $tailBytes
      (i32.sub (i32.add (i32.const 36864) (local.get $length)) (local.get $foldEnd)))
    (memory.copy (i32.const 33792) (local.get $foldEnd) (local.get $tailBytes))
    (memory.fill (local.get $foldEnd) (i32.const 0) (i32.const 1376))
    (call $fold (i32.const 33792) (local.get $foldEnd) (i32.const 35168))
    (i64.store (i32.const 0)
      (call $digest (i32.const 33792) (local.get $tailBytes) (i64.const 0))))

  ;; XORs into each vector of $to .. $end the eight vectors that stand 356 .. 1370 bytes before the
  ;; same place in $history. $to and $history are one place, or do not meet.
  (func $fold (param $to i32) (param $history i32) (param $end i32)
    (local $from i32)
    (local.set $from (i32.sub (local.get $history) (i32.const 1376)))
    (loop $vectors
      ;; An offset is 1376 less the distance.
      (v128.store (local.get $to)
        (v128.xor
          (v128.load (local.get $to))
          (v128.xor
            (v128.xor
              (v128.xor
                (v128.load offset=1020 (local.get $from))
                (v128.load offset=989 (local.get $from)))
              (v128.xor
                (v128.load offset=727 (local.get $from))
                (v128.load offset=567 (local.get $from))))
            (v128.xor
              (v128.xor
                (v128.load offset=475 (local.get $from))
                (v128.load offset=196 (local.get $from)))
              (v128.xor
                (v128.load offset=43 (local.get $from))
                (v128.load offset=6 (local.get $from)))))))
      (local.set $from (i32.add (local.get $from) (i32.const 16)))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br_if $vectors (i32.lt_u (local.get $to) (local.get $end)))))

  ;; The state after $length bytes at $at.
  (func $digest (param $at i32) (param $length i32) (param $state i64) (result i64)
    (local $end i32)
    (local $first i64)
    (local $second i64)
    (local.set $end (i32.add (local.get $at) (i32.and (local.get $length) (i32.const -16))))
    (block $done
      (loop $steps
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $first (i64.xor (local.get $state) (i64.load (local.get $at))))
        (local.set $second (i64.load offset=8 (local.get $at)))
        ;; The second word does not wait for the state of the step before.
        (local.set $state (i64.xor
          (i64.xor
            (i64.xor
              (i64.xor
                (i64.load offset=15360 (i32.shl (i32.and (i32.wrap_i64 (local.get $second)) (i32.const 0xff)) (i32.const 3)))
                (i64.load offset=13312 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $second) (i64.const 8))) (i32.const 0xff)) (i32.const 3))))
              (i64.xor
                (i64.load offset=11264 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $second) (i64.const 16))) (i32.const 0xff)) (i32.const 3)))
                (i64.load offset=9216 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $second) (i64.const 24))) (i32.const 0xff)) (i32.const 3)))))
            (i64.xor
              (i64.xor
                (i64.load offset=7168 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $second) (i64.const 32))) (i32.const 0xff)) (i32.const 3)))
                (i64.load offset=5120 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $second) (i64.const 40))) (i32.const 0xff)) (i32.const 3))))
              (i64.xor
                (i64.load offset=3072 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $second) (i64.const 48))) (i32.const 0xff)) (i32.const 3)))
                (i64.load offset=1024 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $second) (i64.const 56))) (i32.const 0xff)) (i32.const 3))))))
          (i64.xor
            (i64.xor
              (i64.xor
                (i64.load offset=31744 (i32.shl (i32.and (i32.wrap_i64 (local.get $first)) (i32.const 0xff)) (i32.const 3)))
                (i64.load offset=29696 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $first) (i64.const 8))) (i32.const 0xff)) (i32.const 3))))
              (i64.xor
                (i64.load offset=27648 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $first) (i64.const 16))) (i32.const 0xff)) (i32.const 3)))
                (i64.load offset=25600 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $first) (i64.const 24))) (i32.const 0xff)) (i32.const 3)))))
            (i64.xor
              (i64.xor
                (i64.load offset=23552 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $first) (i64.const 32))) (i32.const 0xff)) (i32.const 3)))
                (i64.load offset=21504 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $first) (i64.const 40))) (i32.const 0xff)) (i32.const 3))))
              (i64.xor
                (i64.load offset=19456 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $first) (i64.const 48))) (i32.const 0xff)) (i32.const 3)))
                (i64.load offset=17408 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $first) (i64.const 56))) (i32.const 0xff)) (i32.const 3))))))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $steps)))

    (local.set $end (i32.add (local.get $at) (i32.and (local.get $length) (i32.const 15))))
    (block $done
      (loop $bytes
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $state
          (call $digestByte (i64.xor (local.get $state) (i64.load8_u (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $bytes)))
    (local.get $state))

  ;; The state one byte on, of a state that holds the byte already.
  (func $digestByte (param $state i64) (result i64)
    (i64.xor
      (i64.shr_u (local.get $state) (i64.const 8))
      (i64.load offset=1024
        (i32.shl (i32.and (i32.wrap_i64 (local.get $state)) (i32.const 0xff)) (i32.const 3)))))

  ;; The state after $length zero bytes: $state * x^(8 * $length).
  (func (export "shift") (param $state i64) (param $length i64) (result i64)
    (local $power i32)
    (local.set $power (i32.const 64))
    (block $done
      (loop $bits
        (br_if $done (i64.eqz (local.get $length)))
        (if (i64.ne (i64.and (local.get $length) (i64.const 1)) (i64.const 0))
          (then
            (local.set $state
              (call $multiply (i64.load (local.get $power)) (local.get $state)))))
        (local.set $length (i64.shr_u (local.get $length) (i64.const 1)))
        (local.set $power (i32.add (local.get $power) (i32.const 8)))
        (br $bits)))
    (local.get $state))

  ;; The product modulo the polynomial. In this reflected form bit 63 is x^0, bit 0 is x^63.
  (func $multiply (param $a i64) (param $b i64) (result i64)
    (local $product i64)
    (block $done
      (loop $terms
        (br_if $done (i64.eqz (local.get $a)))
        (local.set $product
          (i64.xor
            (local.get $product)
            (i64.and (local.get $b) (i64.shr_s (local.get $a) (i64.const 63)))))
        (local.set $b (call $timesX (local.get $b)))
        (local.set $a (i64.shl (local.get $a) (i64.const 1)))
        (br $terms)))
    (local.get $product))

  (func $timesX (param $a i64) (result i64)
    (i64.xor
      (i64.shr_u (local.get $a) (i64.const 1))
      (i64.and
        (i64.const 0x9A6C9329AC4BC9B5)
        (i64.sub (i64.const 0) (i64.and (local.get $a) (i64.const 1))))))

  ;; Fills the tables and the powers.
  (func $initialize
    (local $index i32)
    (local $at i32)
    (local $value i64)
    (loop $entries
      (local.set $value (i64.extend_i32_u (local.get $index)))
      (local.set $at (i32.const 8))
      (loop $bits
        (local.set $value (call $timesX (local.get $value)))
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (br_if $bits (local.get $at)))
      (i64.store offset=1024 (i32.shl (local.get $index) (i32.const 3)) (local.get $value))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br_if $entries (i32.lt_u (local.get $index) (i32.const 256))))

    ;; Each further table is the one before it, 2048 bytes back, moved on by a zero byte.
    (local.set $at (i32.const 3072))
    (loop $entries
      (i64.store (local.get $at)
        (call $digestByte (i64.load (i32.sub (local.get $at) (i32.const 2048)))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $entries (i32.lt_u (local.get $at) (i32.const 33792))))

    (local.set $value (i64.const 0x0080000000000000)) ;; x^8
    (local.set $at (i32.const 64))
    (loop $powers
      (i64.store (local.get $at) (local.get $value))
      (local.set $value (call $multiply (local.get $value) (local.get $value)))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $powers (i32.lt_u (local.get $at) (i32.const 576)))))
  (start $initialize))
