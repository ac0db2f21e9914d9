"""Operations, bytes and collectives of HLO texts whose figures are known."""

import jax
import jax.numpy as jnp
import pytest

from jaxharmo.hlo import Collectives, read_program

GPU = """HloModule jit_step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%fused_tanh (p: f32[2,8,8,4]) -> f32[2,8,8,4] {
  %p = f32[2,8,8,4]{3,2,1,0} parameter(0)
  ROOT %tanh.1 = f32[2,8,8,4]{3,2,1,0} tanh(%p)
}

ENTRY %main (x: f32[2,8,8,3], k: f32[4,3,3,3]) -> f32[4,3,3,3] {
  %x = f32[2,8,8,3]{3,2,1,0} parameter(0)
  %k = f32[4,3,3,3]{3,2,1,0} parameter(1)
  %conv = (f32[2,8,8,4]{3,2,1,0}, u8[0]{0}) custom-call(%x, %k), window={size=3x3 pad=1_1x1_1}, \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward"
  %y = f32[2,8,8,4]{3,2,1,0} get-tuple-element(%conv), index=0
  %z = f32[2,8,8,4]{3,2,1,0} fusion(%y), kind=kLoop, calls=%fused_tanh
  %back = (f32[4,3,3,3]{3,2,1,0}, u8[0]{0}) custom-call(%x, %z), window={size=3x3 pad=1_1x1_1}, \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardFilter"
  %g = f32[4,3,3,3]{3,2,1,0} get-tuple-element(%back), index=0
  %start = f32[4,3,3,3]{3,2,1,0} all-reduce-start(%g), replica_groups={{0,1}}, to_apply=%add
  %done = f32[4,3,3,3]{3,2,1,0} all-reduce-done(%start)
  %gathered = (f32[4,3,3,3]{3,2,1,0}, f32[8,3,3,3]{3,2,1,0}) all-gather-start(%done), dimensions={0}
  %whole = f32[8,3,3,3]{3,2,1,0} all-gather-done(%gathered)
  ROOT %p = (f32[4,3,3,3]{3,2,1,0}, u8[0]{0}) custom-call(%done, %done), \
custom_call_target="custom"
}
"""
X, K, Y = 4 * 2 * 8 * 8 * 3, 4 * 4 * 3 * 3 * 3, 4 * 2 * 8 * 8 * 4
CONVOLUTION = 2 * 2 * 8 * 8 * 4 * 3 * 3 * 3


def test_a_program_for_a_gpu():
    program = read_program(GPU)
    assert program.operations == 2 * CONVOLUTION + Y / 4
    kernels = (X + K + Y) + (Y + Y) + (X + Y + K)
    assert program.bytes == kernels + 2 * K + 2 * K + 3 * K
    assert program.kernels == 6
    assert program.collectives == {
        "all-reduce": Collectives(1, K),
        "all-gather": Collectives(1, K),
    }


TPU = """HloModule step

%body (s: (s32[], bf16[8,128])) -> (s32[], bf16[8,128]) {
  %s = (s32[], bf16[8,128]{1,0:T(8,128)(2,1)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%s), index=0
  %x = bf16[8,128]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%s), index=1
  %y = bf16[8,128]{1,0:T(8,128)(2,1)} negate(%x)
  %r = bf16[8,128]{1,0:T(8,128)(2,1)} all-reduce(%y), to_apply=%add
  ROOT %t = (s32[], bf16[8,128]{1,0}) tuple(%i, %r)
}

%condition (s: (s32[], bf16[8,128])) -> pred[] {
  %s = (s32[], bf16[8,128]{1,0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

ENTRY %main (a: f32[16,32], b: f32[32,8]) -> f32[16,8] {
  %a = f32[16,32]{1,0:T(8,128)} parameter(0)
  %b = f32[32,8]{1,0:T(8,128)} parameter(1)
  %start = (s32[], bf16[8,128]{1,0}, /*index=2*/f32[]) tuple()
  %w = (s32[], bf16[8,128]{1,0}) while(%start), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"5"}}
  ROOT %d = f32[16,8]{1,0:T(8,128)} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""


def test_loops_count_their_rounds_and_memory_on_the_chip_counts_nothing():
    program = read_program(TPU)
    assert program.operations == 2 * 16 * 32 * 8 + 5 * 8 * 128
    one = 8 * 128 * 2
    assert program.bytes == 4 * (16 * 32 + 32 * 8 + 16 * 8) + 5 * (one + 2 * one)
    assert program.kernels == 1 + 5 * 2
    assert program.collectives == {"all-reduce": Collectives(5, 5 * one)}


def test_zeros_of_a_spread_input_do_not_count():
    text = """ENTRY %main (x: f32[1,4,4,2], k: f32[3,3,2,6]) -> f32[1,8,8,6] {
  %x = f32[1,4,4,2]{3,2,1,0} parameter(0)
  %k = f32[3,3,2,6]{3,2,1,0} parameter(1)
  ROOT %c = f32[1,8,8,6]{3,2,1,0} convolution(%x, %k), \
window={size=3x3 pad=1_2x1_2 lhs_dilate=2x2}, dim_labels=b01f_01io->b01f
}
"""
    assert read_program(text).operations == 2 * 8 * 8 * 6 * 9 * 2 / 4


def test_products_of_a_library():
    text = """ENTRY %main (a: f32[7,5,3], b: f32[7,3,2]) -> f32[7,5,2] {
  %a = f32[7,5,3]{2,1,0} parameter(0)
  %b = f32[7,3,2]{2,1,0} parameter(1)
  ROOT %c = (f32[7,5,2]{2,1,0}, s8[64]{0}) custom-call(%a, %b), custom_call_target="__cublas$gemm"
}
"""
    assert read_program(text).operations == pytest.approx(2 * 7 * 5 * 3 * 2)


def test_nothing_in_no_text():
    assert read_program("") == (0.0, 0.0, 0, {})


def test_a_program_of_this_machine_agrees_with_xlas_count():
    def step(x, y):
        return jnp.tanh(x @ y)

    compiled = jax.jit(step).lower(jnp.ones((64, 128)), jnp.ones((128, 32))).compile()
    program = read_program(compiled.as_text() or "")
    cost = compiled.cost_analysis()
    assert program.operations == pytest.approx(cost["flops"], rel=0.02)
    assert program.bytes == pytest.approx(cost["bytes accessed"], rel=0.5)
