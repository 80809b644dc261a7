// I2C 1 at GP14 and GP15, and who is on it.

import { connectI2c } from '../patches/i2c.mjs';
import { ADDRESS } from './mpu6050.mjs';

export class I2cBus {
  constructor(mpu6050) {
    this.mpu6050 = mpu6050;
  }

  attach(rp, world) {
    this.mpu6050.attach(rp, world);
    connectI2c(rp, rp.i2c[1], (address) => (address === ADDRESS && this.mpu6050.connected ? this.mpu6050 : undefined));
  }

  powerOn() {
    this.mpu6050.powerOn();
  }
}
