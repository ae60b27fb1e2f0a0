# Boots slot A or B. The same script runs under u-boot-rpi (mmc) and u-boot-qemu (virtio); it knows neither.
#
# - State: two copies, each one 4 KiB U-Boot environment with its CRC-32, in the partition proofline-slots. The newer
#   good one counts (s_seq). Only the other is ever written, so a power cut at any moment leaves one good copy.
# - s_order: slots in order of preference. s_a, s_b: attempts left. s_ga, s_gb: 1 once a boot of that slot was found
#   good. s_last: the slot that is being tried. All numbers are hexadecimal.
# - Each attempt is counted before it is made; the station resets the count when it has found the boot good.
# - When no slot has an attempt left, those that once were good get theirs back: a station is never left without.
# - Without any good copy of the state (never written, or both damaged) both slots are tried, A first.
echo "proofline: boot script"
setenv s_names "s_seq s_order s_a s_b s_ga s_gb s_last"
setenv bootargs
part start ${devtype} ${devnum} proofline-slots s_base
${devtype} dev ${devnum}
setexpr s_lba1 ${s_base} + 400
setenv s_best none
setenv s_max 0
for copy in 0 1; do
    if test ${copy} = 0; then setenv s_lba ${s_base}; else setenv s_lba ${s_lba1}; fi
    env delete -f ${s_names}
    if ${devtype} read ${pxefile_addr_r} ${s_lba} 8; then
        if env import -c ${pxefile_addr_r} 1000 ${s_names}; then
            if itest 0x${s_seq} -gt 0x${s_max}; then
                setenv s_max ${s_seq}
                setenv s_best ${copy}
            fi
        fi
    fi
done
env delete -f ${s_names}
if test ${s_best} = none; then
    echo "proofline: no slot state; starting from scratch"
    setenv s_seq 0
    setenv s_order "a b"
    setenv s_a 3
    setenv s_b 3
    setenv s_ga 0
    setenv s_gb 0
    setenv s_next ${s_base}
else
    if test ${s_best} = 0; then
        setenv s_lba ${s_base}
        setenv s_next ${s_lba1}
    else
        setenv s_lba ${s_lba1}
        setenv s_next ${s_base}
    fi
    ${devtype} read ${pxefile_addr_r} ${s_lba} 8
    env import -c ${pxefile_addr_r} 1000 ${s_names}
fi
if test ${s_a} = 0 && test ${s_b} = 0; then
    echo "proofline: no attempts left; back to what was good"
    if test ${s_ga} = 1; then setenv s_a 9; fi
    if test ${s_gb} = 1; then setenv s_b 9; fi
    if test ${s_ga} = 0 && test ${s_gb} = 0; then
        setenv s_a 3
        setenv s_b 3
    fi
fi
setenv s_last none
for slot in ${s_order}; do
    if test ${s_last} = none; then
        if test ${slot} = a && test ${s_a} != 0; then
            setexpr s_a ${s_a} - 1
            setenv s_last a
        fi
        if test ${slot} = b && test ${s_b} != 0; then
            setexpr s_b ${s_b} - 1
            setenv s_last b
        fi
    fi
done
setexpr s_seq ${s_seq} + 1
env export -c -s 1000 ${pxefile_addr_r} ${s_names}
${devtype} write ${pxefile_addr_r} ${s_next} 8
echo "proofline: slot ${s_last}; attempts left a=${s_a} b=${s_b}; state ${s_seq}"
if part number ${devtype} ${devnum} proofline-boot-${s_last} s_part; then
    if load ${devtype} ${devnum}:${s_part} ${ramdisk_addr_r} proofline.efi; then
        bootefi ${ramdisk_addr_r} ${fdtcontroladdr}
    fi
fi
echo "proofline: not ready: slot ${s_last} did not start"
sleep 5
reset
