#include "textflag.h"

// func move(to, from unsafe.Pointer, length int, mark uint64) (left int)
TEXT ·move(SB), NOSPLIT, $0-40
	MOVQ to+0(FP), DI
	MOVQ from+8(FP), SI
	MOVQ length+16(FP), CX
	MOVQ mark+24(FP), R9
	MOVQ SI, DX
	ADDQ CX, DX

	// LEAQ R8, 2(IP): where the copy goes on when it is ended, behind the next instruction.
	BYTE $0x4c; BYTE $0x8d; BYTE $0x05; LONG $2

	// REP; MOVSB
	BYTE $0xf3; BYTE $0xa4

	// At a fault the registers say how far it came. (In CX an emulator may have counted one more.)
	SUBQ SI, DX
	MOVQ DX, left+32(FP)
	RET
